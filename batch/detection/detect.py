"""Face detectors: a gray image in, boxes and scores out. Built once per worker."""

from typing import Protocol

import numpy as np

from batch.detection.detectors.cascade import Cascade
from batch.detection.detectors.cnn import Cnn
from batch.detection.detectors.yunet import YuNet
from batch.settings import DetectorSettings


class Detector(Protocol):
    """Finds faces in a gray image (rows, columns) uint8; boxes are in that image's pixels."""

    def detect(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The boxes found (N, 4), best first, and their scores (N,).

        The scores are probabilities, except a cascade's, which only rank.
        """
        ...


def build_detector(settings: DetectorSettings) -> Detector:
    """Build the detector that ``settings`` name; raises DetectorError if that cannot be done."""
    if settings.name == "cascade":
        return Cascade(settings.glance)
    if settings.name == "cnn":
        return Cnn(settings.model_file())
    return YuNet(settings.model_file(), settings.threshold)
