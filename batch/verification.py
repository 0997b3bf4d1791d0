"""What becomes of proposed faces once the verifier has told their probabilities."""

from dataclasses import replace

import numpy as np

from batch.boxes import strongest
from batch.outcome import Outcome, Status

OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are taken for one face."""


def keep_faces(outcome: Outcome, probabilities: np.ndarray, threshold: float) -> Outcome:
    """Leave ``outcome`` those of its boxes that are faces with a probability (N,) of at least ``threshold``.

    Of boxes that overlap the most probable one is left; without any the status is NO_FACE.
    """
    if not outcome.boxes:
        return replace(outcome, wide_crops=None)
    boxes = np.array([box[:4] for box in outcome.boxes])
    likely = np.flatnonzero(probabilities >= threshold)
    kept = likely[strongest(boxes[likely], probabilities[likely], OVERLAP)]
    return replace(
        outcome,
        status=Status.OK if len(kept) else Status.NO_FACE,
        boxes=tuple(outcome.boxes[index]._replace(score=float(probabilities[index])) for index in kept),
        crops=outcome.crops[kept],
        wide_crops=None,
    )
