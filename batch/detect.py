"""Face detectors: a gray image in, scored boxes out. Built once per worker."""

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from batch.errors import DetectorError
from batch.outcome import Box
from batch.settings import DetectorSettings


class Detector(Protocol):
    """Finds faces in a gray image (rows, columns) uint8, largest first, boxes in that image's pixels."""

    def detect(self, gray: np.ndarray) -> list[Box]:
        """The faces found, each with the probability that it is one."""
        ...


def build_detector(settings: DetectorSettings) -> Detector:
    """Build the detector that ``settings`` name; raises DetectorError if that cannot be done."""
    if settings.name == "cascade":
        return Cascade()
    raise DetectorError(f"No detector is called {settings.name!r}.")


class Cascade:
    """OpenCV's frontal Haar cascade ``alt2`` (Lienhart and Maydt 2002)."""

    SCALE_FACTOR = 1.1
    SMALLEST = 1 / 32
    """Smallest face, as a share of the image's long side."""

    def __init__(self) -> None:
        file = str(Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml")
        self._cascade = cv2.CascadeClassifier(file)
        if self._cascade.empty():
            raise DetectorError(f"OpenCV cannot load its cascade {file}. Install opencv-python-headless >=4.12,<5.")

    def detect(self, gray: np.ndarray) -> list[Box]:
        """The faces found; the score follows from how many overlapping windows agree."""
        smallest = max(20, round(max(gray.shape) * self.SMALLEST))
        boxes, windows = self._cascade.detectMultiScale2(
            gray, scaleFactor=self.SCALE_FACTOR, minNeighbors=1, minSize=(smallest, smallest)
        )
        found = [
            Box(float(x), float(y), float(w), float(h), _face_probability(int(n)))
            for (x, y, w, h), n in zip(boxes, windows, strict=True)
        ]
        return sorted(found, key=lambda box: (-box.width * box.height, box.y, box.x))


def _face_probability(windows: int) -> float:
    """Probability that ``windows`` agreeing windows are a face."""
    return 1 / (1 + float(np.exp(-(np.log(windows) - 1.5))))
