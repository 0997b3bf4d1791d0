"""Cut faces out for the CNNs."""

import cv2
import numpy as np

from batch.outcome import Box

CROP_SIZE = 48
"""Side of a crop, in pixels: what the CNNs take."""

CONTEXT = 4 / 3
"""How much larger than the box the square is that the verifier sees: hair, chin and neck tell a face, too."""


def crop_faces(gray: np.ndarray, boxes: list[Box], grown: float = 1.0) -> np.ndarray:
    """Cut a square around each box's centre out of ``gray`` -> (faces, 48, 48) uint8.

    Its side is the box's longer side times ``grown``. Pixels beyond the border repeat the border's. Shrinking
    averages (no aliasing), enlarging is bicubic.
    """
    if not boxes:
        return np.empty((0, CROP_SIZE, CROP_SIZE), np.uint8)
    return np.stack([_crop(gray, box, grown) for box in boxes])


def _crop(gray: np.ndarray, box: Box, grown: float) -> np.ndarray:
    side = max(1, round(max(box.width, box.height) * grown))
    left, top = round(box.x + (box.width - side) / 2), round(box.y + (box.height - side) / 2)
    rows, columns = gray.shape
    inside = gray[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.size == 0:
        return np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    square = cv2.copyMakeBorder(
        inside,
        max(0, -top),
        max(0, top + side - rows),
        max(0, -left),
        max(0, left + side - columns),
        cv2.BORDER_REPLICATE,
    )
    return cv2.resize(
        square, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA if side >= CROP_SIZE else cv2.INTER_CUBIC
    )
