"""OpenCV's own face detector, YuNet, with the ONNX file that the user brings."""

from pathlib import Path

import cv2
import numpy as np

from batch.detection.boxes import as_box, square_as_of_cascade, strongest
from batch.errors import DetectorError
from batch.outcome import Box
from batch.settings import MODEL_ORIGINS

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
            raise DetectorError(f"{wrong} {MODEL_ORIGINS['yunet']}") from error

    def detect(self, gray: np.ndarray) -> list[Box]:
        """The faces found, best first, as squares."""
        rows, columns = gray.shape
        self._detector.setInputSize((columns, rows))
        found = self._detector.detect(cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))[1]
        if found is None:
            return []
        boxes, scores = np.asarray(found[:, :4], float), np.asarray(found[:, -1], float)
        kept = strongest(boxes, scores, _OVERLAP)
        return [as_box(square_as_of_cascade(boxes[index]), float(min(1.0, scores[index]))) for index in kept]
