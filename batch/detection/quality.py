"""How good a picture of a face is: sharp, bright, rich in contrast."""

import cv2
import numpy as np

_SIDE = 64
"""Longer side, in pixels, at which faces are compared: what a face of 3 % of a photograph's width has when detected."""
_BLUR = 11
"""Pixels of the blur that sharpness is measured against, as in the paper's reference implementation."""


def measure_faces(gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Sharpness, brightness and contrast, 0 to 1, in each of boxes (N, 4) of ``gray`` -> (N, 3).

    ``gray`` is (rows, columns) uint8, and the boxes are in its pixels. The part of a box within the image is first
    scaled to 64 pixels on its longer side, so that the same face has the same numbers in a photograph of twice the
    size; a face of very few pixels has less detail, and less sharpness.

    Sharpness is 1 - blur of Crété-Roffet et al., The Blur Effect (SPIE 6492, 2007): how much of the differences between
    neighbouring pixels another blur takes away, along the axis where that is less. Brightness is the mean of the gray
    levels and contrast their standard deviation (RMS contrast, Peli 1990), both as shares of 255.
    """
    return np.array([_measure(gray, box) for box in boxes], float).reshape(-1, 3)


def _measure(gray: np.ndarray, box: np.ndarray) -> tuple[float, float, float]:
    left, top = np.rint(box[:2]).astype(int)
    right, bottom = left + round(box[2]), top + round(box[3])
    face = gray[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    if face.size == 0:
        return 0.0, 0.0, 0.0
    scale = _SIDE / max(face.shape)
    size = (max(1, round(face.shape[1] * scale)), max(1, round(face.shape[0] * scale)))
    scaled = cv2.resize(face, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    levels = scaled.astype(np.float32) / 255
    return min(_kept(levels, 0), _kept(levels, 1)), float(levels.mean()), float(levels.std())


def _kept(levels: np.ndarray, axis: int) -> float:
    """The share of the differences along an axis that a blur along it takes away; 0 where there are none."""
    size = (1, _BLUR) if axis == 0 else (_BLUR, 1)
    blurred = cv2.blur(levels, size, borderType=cv2.BORDER_REFLECT)
    steps, left = (np.abs(cv2.Sobel(x, cv2.CV_32F, axis, 1 - axis))[2:-1, 2:-1] for x in (levels, blurred))
    total = float(steps.sum())
    return float(np.maximum(steps - left, 0).sum()) / total if total > 0 else 0.0
