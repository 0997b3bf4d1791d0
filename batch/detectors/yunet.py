"""OpenCV's own face detector, YuNet, with the ONNX file that the user brings."""

from pathlib import Path

import cv2
import numpy as np

from batch.boxes import as_box, strongest
from batch.errors import DetectorError
from batch.outcome import Box
from batch.settings import YUNET_ORIGIN

_OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are one face: OpenCV's own default."""


class YuNet:
    """``cv2.FaceDetectorYN`` (Wu, Peng and Yu 2023); its scores are probabilities enough and need no verification.

    Its boxes hug the face from brow to chin; they become squares as a cascade would draw them, since the emotion CNN
    has learnt from such crops.
    """

    SIDE = 0.92
    """Side of the square, as a share of the height of YuNet's box: the median over 161 faces that ``alt2`` found."""
    LOWER = -0.02
    """How much lower than the box's centre that of the square lies, as a share of the box's height."""

    def __init__(self, file: Path, threshold: float) -> None:
        try:
            self._detector = cv2.FaceDetectorYN.create(str(file), "", (64, 64), threshold, _OVERLAP)
            self.detect(np.zeros((64, 64), np.uint8))
        except cv2.error as error:
            raise DetectorError(f"{file} is not a model that OpenCV can find faces with. {YUNET_ORIGIN}") from error

    def detect(self, gray: np.ndarray) -> list[Box]:
        """The faces found, best first, as squares."""
        rows, columns = gray.shape
        self._detector.setInputSize((columns, rows))
        found = self._detector.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))[1]
        if found is None:
            return []
        boxes, scores = np.asarray(found[:, :4], float), np.asarray(found[:, -1], float)
        return [_square(boxes[index], float(min(1.0, scores[index]))) for index in strongest(boxes, scores, _OVERLAP)]


def _square(box: np.ndarray, score: float) -> Box:
    x, y, width, height = box
    side = height * YuNet.SIDE
    left, top = x + (width - side) / 2, y + (height - side) / 2 + height * YuNet.LOWER
    return as_box(np.array([left, top, side, side]), score)
