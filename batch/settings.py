"""How images are read and faces found; what of it belongs to the output's identity."""

from dataclasses import asdict, dataclass
from typing import Any

DETECTOR_VERSION = 1
"""Raised whenever the same settings would give other boxes."""


@dataclass(frozen=True)
class DetectorSettings:
    """Which detector, and on which image it looks."""

    name: str = "cascade"
    detect_size: int = 640
    """Long side, in pixels, of the image that the detector sees; smaller images are not enlarged."""
    face_threshold: float = 0.5
    """Least probability that a box holds a face."""

    def identity(self) -> dict[str, Any]:
        """What decides which boxes are found."""
        return {**asdict(self), "version": DETECTOR_VERSION}


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker reads images and finds faces."""

    detector: DetectorSettings = DetectorSettings()
    max_pixels: int = 200_000_000
    """Images with more are not decoded."""

    @property
    def enough(self) -> int:
        """Long side, in pixels, beyond which a decoded image gains nothing: twice what the detector sees.

        The smallest faces that the detector finds are then still as large as the crops.
        """
        return 2 * self.detector.detect_size
