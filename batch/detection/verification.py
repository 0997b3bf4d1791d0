"""What becomes of proposed faces once the verifier has told their probabilities."""

from dataclasses import replace

import numpy as np

from batch.detection.boxes import as_box, overlaps, shares_of_smaller, strongest
from batch.detection.crop import crop_from_patch
from batch.outcome import Outcome, Status

_OVERLAP = 0.5
"""Boxes are one face if more of the smaller one lies in the other: mouth and eyes are no faces of their own."""
_UNLIKELY = 0.05
"""Proposals that the verifier gives less at first sight are not looked at again: most of them, so it costs little."""
_AGREE = 0.4
"""Boxes that overlap a face's most probable one by more (intersection over union) have a say in where it is."""


def merged(boxes: np.ndarray, probabilities: np.ndarray, threshold: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Merge proposals (N, 4) into one box per face: indices of the best proposal of each, best first, and the boxes.

    A face is where the proposals around its best one are on average, weighted by their probabilities (N,): its box
    moves less with the raster of the windows than any of them.
    """
    likely = np.flatnonzero(probabilities >= threshold)
    best = likely[strongest(boxes[likely], probabilities[likely], _OVERLAP, shares_of_smaller)]
    weights = np.where(overlaps(boxes[best], boxes) > _AGREE, probabilities, 0)
    weights[np.arange(len(best)), best] += 1e-6
    weights /= weights.sum(axis=1, keepdims=True)
    return best, weights @ boxes


def without_unlikely(outcome: Outcome, probabilities: np.ndarray) -> Outcome:
    """Leave ``outcome`` the proposals that deserve a second look, their probabilities (N,) as scores.

    Without any the status is NO_FACE.
    """
    if outcome.patches is None:
        return outcome
    likely = np.flatnonzero(probabilities >= _UNLIKELY)
    return replace(
        outcome,
        status=Status.OK if len(likely) else Status.NO_FACE,
        boxes=tuple(outcome.boxes[index]._replace(score=float(probabilities[index])) for index in likely),
        patches=outcome.patches[likely],
    )


def after_look(so_far: np.ndarray, look: np.ndarray, looks: float) -> np.ndarray:
    """Probabilities (N,) of a face after one more look: the mean in log-odds, in which ``so_far`` counts ``looks``."""
    mean = (looks * _log_odds(so_far) + _log_odds(look)) / (looks + 1)
    return np.asarray(1 / (1 + np.exp(-mean)))


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    sure = np.clip(np.asarray(probabilities, float), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(sure / (1 - sure)))


def keep_faces(outcome: Outcome, probabilities: np.ndarray, threshold: float) -> Outcome:
    """Leave ``outcome`` its faces: the proposals with a probability (N,) of at least ``threshold``, merged, cut out.

    Without any the status is NO_FACE.
    """
    if not outcome.boxes or outcome.patches is None:
        return replace(outcome, patches=None)
    best, places = merged(np.array([box[:4] for box in outcome.boxes]), probabilities, threshold)
    faces = [as_box(place, float(probabilities[index])) for place, index in zip(places, best, strict=True)]
    cut = [crop_from_patch(outcome.patches[i], outcome.boxes[i], face) for i, face in zip(best, faces, strict=True)]
    return replace(
        outcome,
        status=Status.OK if faces else Status.NO_FACE,
        boxes=tuple(faces),
        crops=np.stack(cut) if cut else outcome.crops[:0],
        patches=None,
    )
