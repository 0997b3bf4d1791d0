"""A glance at what a cascade proposes: most of its windows are no faces, and a tiny network can tell."""

from pathlib import Path

import cv2
import numpy as np

from batch.detection.crop import CONTEXT
from batch.detection.networks import OnnxFile
from batch.errors import DetectorError, NetworkError

GLANCE_SIZE = 20
"""Side of what the network sees of a window and its surroundings, in cells."""


class Glance:
    """The network that ``annotate-train faces`` writes beside the verifier, which has taught it."""

    def __init__(self, file: Path) -> None:
        """Load the ONNX file; raises DetectorError if it is another one."""
        try:
            self._network = OnnxFile(file)
        except NetworkError as error:
            raise DetectorError(f"{file} is not what annotate-train faces writes: {error}") from error

    def likely(self, gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Which of the squares (N, 4) in ``gray`` the verifier should see: (N,) of bool."""
        patches = cells(gray, boxes)
        if len(patches) == 0:
            return np.zeros(0, bool)
        [logits] = self._network.run(standardised(patches)[:, None])
        return np.asarray(logits.reshape(-1) > 0)


def cells(gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Squares (N, 4) and their surroundings as means of 20 x 20 cells, (N, 20, 20) uint8, all from one summed image.

    Pixels beyond the border repeat the border's.
    """
    if len(boxes) == 0:
        return np.empty((0, GLANCE_SIZE, GLANCE_SIZE), np.uint8)
    side = boxes[:, 2:].max(axis=1, keepdims=True) * CONTEXT
    steps = np.arange(GLANCE_SIZE + 1) / GLANCE_SIZE
    across, down = (
        np.rint(boxes[:, i, None] + (boxes[:, i + 2, None] - side) / 2 + side * steps).astype(int) for i in (0, 1)
    )
    rows, columns = gray.shape
    beyond = int(max(0, -across.min(), -down.min(), across.max() - columns, down.max() - rows))
    sums = cv2.integral(cv2.copyMakeBorder(gray, beyond, beyond, beyond, beyond, cv2.BORDER_REPLICATE))
    corners = sums[down[:, :, None] + beyond, across[:, None, :] + beyond]
    areas = np.diff(down)[:, :, None] * np.diff(across)[:, None, :]
    return np.asarray(np.rint(np.diff(np.diff(corners, axis=1), axis=2) / areas), np.uint8)


def standardised(patches: np.ndarray) -> np.ndarray:
    """Patches (N, 20, 20) uint8 with mean 0 and, where there is contrast, variance 1 -> (N, 20, 20) float32."""
    pixels = patches.astype(np.float32)
    pixels -= pixels.mean(axis=(1, 2), keepdims=True)
    return np.asarray(pixels / (pixels.std(axis=(1, 2), keepdims=True) + 4))
