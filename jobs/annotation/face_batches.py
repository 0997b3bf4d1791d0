"""Faces of many images in full batches for the CNNs, and back to their images."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from batch.detection.crop import verifier_crops
from batch.detection.verification import after_look, keep_faces, without_unlikely
from batch.outcome import Outcome
from batch.settings import DetectorSettings

FLUSH_SECONDS = 5.0
"""How long a face waits for its batch to fill at most, so that a kill costs no more work than that."""

VERIFIED_AT_A_TIME = 256
"""Batch size of the verifier. Fixed, so that not even rounding depends on --batch-size: of two windows on one face that
are almost equally probable, another might stay."""

Predict = Callable[[np.ndarray], np.ndarray]
"""Takes crops (N, 48, 48) and gives (N, labels)."""


def label_faces(outcomes: Iterable[Outcome], predict: Predict, batch_size: int) -> Iterator[Outcome]:
    """Give every outcome its faces' probabilities, in the same order."""
    for outcome, rows in predicted(outcomes, lambda outcome: outcome.crops, predict, batch_size):
        yield replace(outcome, probabilities=rows) if rows is not None else outcome


def verify_faces(
    outcomes: Iterable[Outcome], predict: Predict, batch_size: int, detector: DetectorSettings
) -> Iterator[Outcome]:
    """Leave every outcome those of its proposed faces that are faces, in the same order.

    ``predict`` gives (N, 2), the second column being the probability of a face. What is not unlikely at first sight is
    looked at again, mirrored.
    """
    for outcome, rows in predicted(_looked_at(outcomes, predict, batch_size, detector), _mirrored, predict, batch_size):
        second = np.zeros(0) if rows is None else rows[:, 1]
        probabilities = after_look(_scores(outcome), second, detector.own_looks + 1)
        yield keep_faces(outcome, probabilities, detector.threshold)


def _looked_at(
    outcomes: Iterable[Outcome], predict: Predict, batch_size: int, detector: DetectorSettings
) -> Iterator[Outcome]:
    """Every outcome without the proposals that are unlikely at first sight."""
    for outcome, rows in predicted(outcomes, _to_verify, predict, batch_size):
        if rows is None:
            yield outcome
        else:
            yield without_unlikely(outcome, after_look(_scores(outcome), rows[:, 1], detector.own_looks))


def _scores(outcome: Outcome) -> np.ndarray:
    return np.array([box.score for box in outcome.boxes])


def _to_verify(outcome: Outcome) -> np.ndarray:
    return outcome.crops[:0] if outcome.patches is None else verifier_crops(outcome.patches)


def _mirrored(outcome: Outcome) -> np.ndarray:
    return _to_verify(outcome)[:, :, ::-1]


def predicted(
    outcomes: Iterable[Outcome], crops_of: Callable[[Outcome], np.ndarray], predict: Predict, batch_size: int
) -> Iterator[tuple[Outcome, np.ndarray | None]]:
    """Each outcome with what ``predict`` says of its crops, None if it has none, in the same order.

    ``predict`` gets ``batch_size`` crops at a time, fewer only at the end or when batches fill slowly.
    """
    waiting: deque[tuple[Outcome, int]] = deque()
    crops: deque[np.ndarray] = deque()
    done: deque[np.ndarray] = deque()
    flushed = time.monotonic()

    def finished() -> Iterator[tuple[Outcome, np.ndarray | None]]:
        while waiting and waiting[0][1] <= len(done):
            outcome, faces = waiting.popleft()
            yield outcome, np.stack([done.popleft() for _ in range(faces)]) if faces else None

    for outcome in outcomes:
        of_this = crops_of(outcome)
        waiting.append((outcome, len(of_this)))
        crops.extend(of_this)
        late = time.monotonic() - flushed >= FLUSH_SECONDS
        while len(crops) >= batch_size or (late and crops):
            done.extend(predict(np.stack([crops.popleft() for _ in range(min(batch_size, len(crops)))])))
            flushed = time.monotonic()
        yield from finished()
    if crops:
        done.extend(predict(np.stack(crops)))
    yield from finished()
