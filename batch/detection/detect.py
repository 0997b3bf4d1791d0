"""Face detectors: a gray image in, scored boxes out. Built once per worker."""

from typing import Protocol

import numpy as np

from batch.detection.detectors.cascade import Cascade
from batch.detection.detectors.cnn import Cnn
from batch.detection.detectors.yunet import YuNet
from batch.errors import DetectorError
from batch.outcome import Box
from batch.settings import DetectorSettings


class Detector(Protocol):
    """Finds faces in a gray image (rows, columns) uint8; boxes are in that image's pixels."""

    def detect(self, gray: np.ndarray) -> list[Box]:
        """The boxes found, best first.

        Their scores are probabilities, except a cascade's, which only rank.
        """
        ...


def build_detector(settings: DetectorSettings) -> Detector:
    """Build the detector that ``settings`` name; raises DetectorError if that cannot be done."""
    if settings.name == "cascade":
        return Cascade(settings.model_file() if settings.model else None)
    if settings.name == "cnn":
        return Cnn(settings.model_file())
    if settings.name == "yunet":
        return YuNet(settings.model_file(), settings.threshold)
    raise DetectorError(f"No detector is called {settings.name!r}.")
