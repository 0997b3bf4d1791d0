"""OpenCV's own face detector, YuNet, with the ONNX file that the user brings."""

from pathlib import Path

import cv2
import numpy as np

from batch.detection.boxes import non_max_suppression, squares_as_of_cascade
from batch.errors import DetectorError
from batch.settings import DETECTORS

_OVERLAP = 0.3
"""Boxes that overlap by more (intersection over union) are one face: OpenCV's own default."""


class YuNet:
    """``cv2.FaceDetectorYN`` (Wu, Peng and Yu 2023); its scores are probabilities enough and need no verification.

    Its boxes hug the face from brow to chin; they become squares as a cascade would draw them, since the emotion CNN
    has learnt from such crops.
    """

    def __init__(self, file: Path, threshold: float) -> None:
        try:
            self._detector = cv2.FaceDetectorYN.create(str(file), "", (64, 64), threshold, _OVERLAP)
            self.detect(np.zeros((64, 64), np.uint8))
        except cv2.error as error:
            wrong = f"{file} is not a model that OpenCV can find faces with."
            raise DetectorError(f"{wrong} {DETECTORS['yunet'].origin}") from error

    def detect(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The faces found, best first, as squares (N, 4), and their scores (N,)."""
        rows, columns = gray.shape
        self._detector.setInputSize((columns, rows))
        found = self._detector.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))[1]
        if found is None:
            return np.empty((0, 4)), np.empty(0)
        boxes, scores = np.asarray(found[:, :4], float), np.asarray(found[:, -1], float)
        kept = non_max_suppression(boxes, scores, _OVERLAP)
        return squares_as_of_cascade(boxes[kept]), np.minimum(scores[kept], 1)
