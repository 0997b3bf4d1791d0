"""What of the proposed boxes is a face: the verifier's looks, and one box for the many that lie on a face."""

import numpy as np

from batch.detection.boxes import intersection_over_smaller, iou, non_max_suppression

UNLIKELY = 0.05
"""Proposals that the verifier gives less at first sight are not looked at again: most of them, so it costs little."""
_AGREE = 0.4
"""Boxes that overlap a face's most probable one by more (intersection over union) have a say in where it is."""


def merged(
    boxes: np.ndarray, probabilities: np.ndarray, overlap: float, threshold: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Merge proposals (N, 4) into one box per face: indices of the best proposal of each, best first, and the boxes.

    Boxes are one face if more than ``overlap`` of the smaller one lies in the other: mouth and eyes are no faces of
    their own. A face is where the proposals around its best one are on average, but for those of other faces, weighted
    by their probabilities (N,): its box moves less with the raster of the windows than any of them.
    """
    likely = np.flatnonzero(probabilities >= threshold)
    best = likely[non_max_suppression(boxes[likely], probabilities[likely], overlap, intersection_over_smaller)]
    weights = np.where(iou(boxes[best], boxes) > _AGREE, probabilities, 0)
    weights[:, best] = np.diag(probabilities[best] + 1e-6)
    weights /= weights.sum(axis=1, keepdims=True)
    return best, weights @ boxes


def average_log_odds(so_far: np.ndarray, look: np.ndarray, weight: float) -> np.ndarray:
    """Probabilities (N,) of a face after one more look: the mean in log-odds, ``so_far`` counting ``weight`` looks."""
    mean = (weight * _log_odds(so_far) + _log_odds(look)) / (weight + 1)
    return np.asarray(1 / (1 + np.exp(-mean)))


def _log_odds(probabilities: np.ndarray) -> np.ndarray:
    sure = np.clip(np.asarray(probabilities, float), 1e-7, 1 - 1e-7)
    return np.asarray(np.log(sure / (1 - sure)))
