"""Cut faces out for the CNNs."""

import cv2
import numpy as np

CROP_SIZE = 48
"""Side of a crop, in pixels: what the CNNs take."""

CONTEXT = 1.5
"""How much larger than the box the square is that the verifier sees: hair, chin and neck tell a face, too."""

PATCH_SIZE = 72
"""Side, in pixels, of what is cut out around a proposed box, surroundings included: the box itself gets a crop's."""


def crop_faces(gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut a square around the centre of each of boxes (N, 4) out of ``gray`` -> (faces, 48, 48) uint8.

    Its side is the box's longer side. Pixels beyond the border repeat the border's. Shrinking averages (no aliasing),
    enlarging is bicubic.
    """
    return _stacked([_square(gray, box, 1.0, CROP_SIZE) for box in boxes], CROP_SIZE)


def cut_patches(gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Cut each of boxes (N, 4) and its surroundings out of ``gray`` -> (boxes, 72, 72) uint8.

    Enough to verify the box, and to cut out the face once it is known where it really is.
    """
    return _stacked([_square(gray, box, CONTEXT, PATCH_SIZE) for box in boxes], PATCH_SIZE)


def verifier_crops(patches: np.ndarray) -> np.ndarray:
    """The patches (N, 72, 72) as the verifier takes them, (N, 48, 48)."""
    size = (CROP_SIZE, CROP_SIZE)
    return _stacked([cv2.resize(patch, size, interpolation=cv2.INTER_AREA) for patch in patches], CROP_SIZE)


def crop_from_patch(patch: np.ndarray, around: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Cut the box ``face`` (4,) out of the patch (72, 72) that was cut around a box (4,) close by -> (48, 48) uint8."""
    scale = PATCH_SIZE / (around[2:].max() * CONTEXT)
    side = face[2:].max() * scale
    moved = face[:2] + face[2:] / 2 - around[:2] - around[2:] / 2
    across, down = moved * scale + (PATCH_SIZE - side) / 2
    step = side / CROP_SIZE
    to_patch = np.array([[step, 0, across + (step - 1) / 2], [0, step, down + (step - 1) / 2]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(patch, to_patch, (CROP_SIZE, CROP_SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _stacked(squares: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack(squares) if squares else np.empty((0, size, size), np.uint8)


def _square(gray: np.ndarray, box: np.ndarray, grown: float, size: int) -> np.ndarray:
    x, y, width, height = box.tolist()
    side = max(1, round(max(width, height) * grown))
    left, top = round(x + (width - side) / 2), round(y + (height - side) / 2)
    rows, columns = gray.shape
    inside = gray[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)]
    if inside.size == 0:
        return np.zeros((size, size), np.uint8)
    square = cv2.copyMakeBorder(
        inside,
        max(0, -top),
        max(0, top + side - rows),
        max(0, -left),
        max(0, left + side - columns),
        cv2.BORDER_REPLICATE,
    )
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side >= size else cv2.INTER_CUBIC)
