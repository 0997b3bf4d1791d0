"""Bounding boxes as arrays (N, 4) of x, y, width, height: how far they overlap, and which of them to keep."""

from collections.abc import Callable

import numpy as np


def within_reason(boxes: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Which boxes (N, 4) reach into an image (rows, columns) and are at most twice as large: a network may answer all.

    No comparison with NaN holds.
    """
    (rows, columns), (x, y, width, height) = image.shape, boxes.T
    with np.errstate(invalid="ignore"):  # infinity less infinity
        reaches = (x < columns) & (y < rows) & (x + width > 0) & (y + height > 0)
    sides = boxes[:, 2:]
    return np.asarray(reaches & (sides > 0).all(axis=1) & (sides <= 2 * max(rows, columns)).all(axis=1))


_SQUARE_SIDE, _SQUARE_LOWER = 0.92, -0.02
"""Side of a cascade's square and how much lower than the box's centre it lies, as shares of the height of a box from
brow to chin: medians over 161 faces that ``alt2`` and YuNet both found."""


def squares_as_of_cascade(boxes: np.ndarray) -> np.ndarray:
    """The squares (N, 4) that a cascade draws around faces whose boxes (N, 4) hug them from brow to chin.

    The emotion CNN has learnt from such crops.
    """
    x, y, width, height = boxes.T
    side = height * _SQUARE_SIDE
    lower = height * _SQUARE_LOWER
    return np.column_stack([x + (width - side) / 2, y + (height - side) / 2 + lower, side, side])


def iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of ``first`` (N, 4) with each of ``second`` (M, 4) -> (N, M)."""
    shared = _shared(first, second)
    union = first[:, None, 2:].prod(axis=-1) + second[None, :, 2:].prod(axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def intersection_over_smaller(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over the smaller box, of each of ``first`` (N, 4) and each of ``second`` (M, 4) -> (N, M)."""
    smaller = np.minimum(first[:, None, 2:].prod(axis=-1), second[None, :, 2:].prod(axis=-1))
    return np.asarray(_shared(first, second) / np.maximum(smaller, 1e-9))


def _shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = first.astype(float)[:, None], second.astype(float)[None]
    begins, ends = (a[..., :2], b[..., :2]), (a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    across, down = (
        np.minimum(*(end[..., axis] for end in ends)) - np.maximum(*(begin[..., axis] for begin in begins))
        for axis in (0, 1)
    )
    return np.asarray(np.maximum(across, 0) * np.maximum(down, 0))


_AT_ONCE = 64
"""Boxes of which it is calculated together how far they overlap others."""


def non_max_suppression(
    boxes: np.ndarray,
    scores: np.ndarray,
    overlap: float,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray] = iou,
) -> np.ndarray:
    """Indices of the boxes (N, 4) that no better one overlaps by more than ``overlap``, best first.

    Greedy non-maximum suppression. Equal scores go by position, so that the order of the boxes does not matter.
    """
    order = np.lexsort((*boxes.T[::-1], -scores))
    kept: list[int] = []
    while len(order):
        best, alive = order[:_AT_ONCE], np.ones(len(order), bool)
        apart = measure(boxes[best], boxes[order]) <= overlap
        for place, index in enumerate(best):
            if alive[place]:
                kept.append(int(index))
                alive &= apart[place]
        alive[: len(best)] = False
        order = order[alive]
    return np.array(kept, int)
