"""From proposals to labelled faces: what is asked of which network, and what becomes of an image by the answers.

Written once for both places: a worker answers each question at once, a GPU those of many images together.
"""

import time
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from batch.detection.crop import crop_from_patch, verifier_crops
from batch.detection.networks import Network
from batch.detection.verification import UNLIKELY, average_log_odds, merged
from batch.outcome import Box, Face, Outcome, Proposals, Quality, Status
from batch.settings import DetectorSettings

VERIFY, CLASSIFY = "verify", "classify"
"""The two networks, by what they do; run.json calls the stages so."""


class Question(NamedTuple):
    """Crops (N, 48, 48) uint8, N > 0, of which a network is to tell the probabilities (N, labels)."""

    network: str
    crops: np.ndarray


_Faces = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Boxes (N, 4), scores (N,), crops (N, 48, 48) and quality (N, 3)."""


def labelled_faces(
    proposals: Proposals, detector: DetectorSettings, with_crops: bool = False
) -> Generator[Question, np.ndarray, Outcome]:
    """Ask the networks about an image; gives its outcome. ``with_crops`` keeps what the emotion CNN saw."""
    found: _Faces = proposals.boxes, proposals.scores, proposals.cut, proposals.quality
    if detector.spec.verified:
        found = yield from _verified_faces(proposals, detector)
    largest = np.argsort(-found[0][:, 2] * found[0][:, 3], kind="stable")
    boxes, scores, crops, quality = (of_all[largest] for of_all in found)
    probabilities = (yield Question(CLASSIFY, crops)) if len(crops) else np.empty((0, 0))
    rows = zip(boxes.tolist(), scores.tolist(), probabilities, quality.tolist(), strict=True)
    return Outcome(
        proposals.found,
        Status.OK if len(boxes) else Status.NO_FACE,
        width=proposals.width,
        height=proposals.height,
        taken_at=proposals.taken_at,
        faces=tuple(Face(Box(*box), score, of_this, Quality(*looks)) for box, score, of_this, looks in rows),
        crops=crops if with_crops else crops[:0],
        seconds=proposals.seconds,
    )


def _verified_faces(proposals: Proposals, detector: DetectorSettings) -> Generator[Question, np.ndarray, _Faces]:
    """Those of the proposals that are faces, each once. What is not unlikely at first sight is seen again, mirrored.

    A face has the quality of its most probable proposal: the image itself is gone.
    """
    boxes, patches, detector_weight = proposals.boxes, proposals.cut, detector.spec.weight
    crops = verifier_crops(patches)
    likely, scores = np.zeros(0, int), np.zeros(0)
    if len(boxes):
        answers = yield Question(VERIFY, crops)
        once = average_log_odds(proposals.scores, answers[:, 1], detector_weight)
        likely = np.flatnonzero(once >= UNLIKELY)
        scores = once[likely]
    if len(likely):
        answers = yield Question(VERIFY, crops[likely][:, :, ::-1])
        scores = average_log_odds(scores, answers[:, 1], detector_weight + 1)
    boxes, patches = boxes[likely], patches[likely]
    best, places = merged(boxes, scores, detector.spec.overlap, detector.threshold)
    cut = [crop_from_patch(patches[i], boxes[i], place) for i, place in zip(best, places, strict=True)]
    return places, scores[best], np.stack(cut) if cut else crops[:0], proposals.quality[likely][best]


def answered(asking: Generator[Question, np.ndarray, Outcome], network: Callable[[str], Network]) -> Outcome:
    """Answer each question at once; the outcome then, with the seconds that each network took."""
    seconds: dict[str, float] = {}
    try:
        question = next(asking)
        while True:
            started = time.perf_counter()
            answer = network(question.network)(question.crops)
            taken = time.perf_counter() - started
            seconds[question.network] = seconds.get(question.network, 0.0) + taken
            question = asking.send(answer)
    except StopIteration as done:
        outcome: Outcome = done.value
        return replace(outcome, seconds=outcome.seconds | seconds)
