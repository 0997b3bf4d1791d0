"""What becomes of proposed faces once the verifier has told their probabilities."""

from dataclasses import replace

import numpy as np

from batch.boxes import shares_of_smaller, strongest
from batch.outcome import Outcome, Status

_OVERLAP = 0.5
"""Boxes are one face if more of the smaller one lies in the other: mouth and eyes are no faces of their own."""


def merged(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the boxes (N, 4) that are left, the best of each face, best first."""
    return strongest(boxes, scores, _OVERLAP, shares_of_smaller)


def keep_faces(outcome: Outcome, probabilities: np.ndarray, threshold: float) -> Outcome:
    """Leave ``outcome`` those of its boxes that are faces with a probability (N,) of at least ``threshold``.

    Of boxes that overlap the most probable one is left; without any the status is NO_FACE.
    """
    if not outcome.boxes:
        return replace(outcome, wide_crops=None)
    boxes = np.array([box[:4] for box in outcome.boxes])
    likely = np.flatnonzero(probabilities >= threshold)
    kept = likely[merged(boxes[likely], probabilities[likely])]
    return replace(
        outcome,
        status=Status.OK if len(kept) else Status.NO_FACE,
        boxes=tuple(outcome.boxes[index]._replace(score=float(probabilities[index])) for index in kept),
        crops=outcome.crops[kept],
        wide_crops=None,
    )
