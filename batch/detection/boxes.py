"""Bounding boxes as arrays (N, 4) of x, y, width, height: how far they overlap, and which of them to keep."""

from collections.abc import Callable

import numpy as np

from batch.outcome import Box


def as_box(row: np.ndarray, score: float = 0.0) -> Box:
    """A row (4,) of such an array as a box."""
    x, y, width, height = row.tolist()
    return Box(x, y, width, height, score)


def is_within_reason(box: Box, image: np.ndarray) -> bool:
    """Whether a box reaches into an image (rows, columns) and is at most twice as large: a network may answer anything.

    No comparison with NaN holds.
    """
    rows, columns = image.shape
    reaches = box.x < columns and box.y < rows and box.x + box.width > 0 and box.y + box.height > 0
    return reaches and min(box.width, box.height) > 0 and max(box.width, box.height) <= 2 * max(rows, columns)


_SQUARE_SIDE, _SQUARE_LOWER = 0.92, -0.02
"""Side of a cascade's square and how much lower than the box's centre it lies, as shares of the height of a box from
brow to chin: medians over 161 faces that ``alt2`` and YuNet both found."""


def square_as_of_cascade(box: np.ndarray) -> np.ndarray:
    """The square (4,) that a cascade draws around a face whose box (4,) hugs it from brow to chin.

    The emotion CNN has learnt from such crops.
    """
    x, y, width, height = box
    side = height * _SQUARE_SIDE
    return np.array([x + (width - side) / 2, y + (height - side) / 2 + height * _SQUARE_LOWER, side, side])


def overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over union of each box of ``first`` (N, 4) with each of ``second`` (M, 4) -> (N, M)."""
    shared = _shared(first, second)
    union = first[:, None, 2:].prod(axis=-1) + second[None, :, 2:].prod(axis=-1) - shared
    return np.asarray(shared / np.maximum(union, 1e-9))


def shares_of_smaller(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Intersection over the smaller box, of each of ``first`` (N, 4) and each of ``second`` (M, 4) -> (N, M)."""
    smaller = np.minimum(first[:, None, 2:].prod(axis=-1), second[None, :, 2:].prod(axis=-1))
    return np.asarray(_shared(first, second) / np.maximum(smaller, 1e-9))


def _shared(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    a, b = first[:, None, :].astype(float), second[None, :, :].astype(float)
    corner = np.maximum(a[..., :2], b[..., :2])
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - corner
    return np.asarray(np.maximum(sides, 0).prod(axis=-1))


def strongest(
    boxes: np.ndarray,
    scores: np.ndarray,
    overlap: float,
    measure: Callable[[np.ndarray, np.ndarray], np.ndarray] = overlaps,
) -> np.ndarray:
    """Indices of the boxes (N, 4) that no better one overlaps by more than ``overlap``, best first.

    Greedy non-maximum suppression. Equal scores go by position, so that the order of the boxes does not matter.
    """
    order = np.lexsort((*boxes.T[::-1], -scores))
    kept: list[int] = []
    alive = np.ones(len(boxes), bool)
    for index in order:
        if alive[index]:
            kept.append(int(index))
            alive &= measure(boxes[index : index + 1], boxes)[0] <= overlap
    return np.array(kept, int)
