"""Faces of many images in full batches for the CNN, and back to their images."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np

from batch.outcome import Outcome

FLUSH_SECONDS = 5.0
"""How long a face waits for its batch to fill at most, so that a kill costs no more work than that."""


def label_faces(
    outcomes: Iterable[Outcome], predict: Callable[[np.ndarray], np.ndarray], batch_size: int
) -> Iterator[Outcome]:
    """Give every outcome its faces' probabilities, in the same order.

    ``predict`` takes crops (N, 48, 48) and gives (N, labels); it gets ``batch_size`` crops at a time, fewer only at
    the end or when batches fill slowly.
    """
    waiting: deque[Outcome] = deque()
    crops: deque[np.ndarray] = deque()
    done: deque[np.ndarray] = deque()
    flushed = time.monotonic()

    def finished() -> Iterator[Outcome]:
        while waiting and len(waiting[0].crops) <= len(done):
            outcome = waiting.popleft()
            rows = [done.popleft() for _ in outcome.crops]
            yield replace(outcome, probabilities=np.stack(rows)) if rows else outcome

    for outcome in outcomes:
        waiting.append(outcome)
        crops.extend(outcome.crops)
        late = time.monotonic() - flushed >= FLUSH_SECONDS
        while len(crops) >= batch_size or (late and crops):
            done.extend(predict(np.stack([crops.popleft() for _ in range(min(batch_size, len(crops)))])))
            flushed = time.monotonic()
        yield from finished()
    if crops:
        done.extend(predict(np.stack(crops)))
    yield from finished()
