"""How images are read and faces found; what of it belongs to the output's identity."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import DetectorError

DETECTOR_VERSION = 7
"""Raised whenever the same settings would give other boxes."""

THRESHOLDS = {"cascade": 0.62, "cnn": 0.62, "yunet": 0.6}
"""Each detector's least probability that a box holds a face, chosen for 95 % precision on WIDER FACE photographs, and
for cascade and cnn a little higher than the ones held out ask for, since others may be harder."""

MODEL_ORIGINS = {
    "cnn": "--detector cnn needs --detector-model with an ONNX file that annotate-train detector has written.",
    "yunet": "--detector yunet needs --detector-model with the file face_detection_yunet_2023mar.onnx, which OpenCV "
    "publishes in its model zoo, the repository opencv/opencv_zoo on GitHub.",
}
"""Detectors that need a model, and where it comes from."""


@dataclass(frozen=True)
class DetectorSettings:
    """Which detector, and on which image it looks."""

    name: str = "cascade"
    detect_size: int = 640
    """Long side, in pixels, of the image that the detector sees; smaller images are not enlarged."""
    face_threshold: float | None = None
    """Least probability that a box holds a face; None for the detector's own."""
    model: Path | None = None
    """The file that ``cnn`` and ``yunet`` need; of the cascade the network that glances at its windows, if any."""

    @property
    def threshold(self) -> float:
        """Least probability that a box holds a face."""
        return THRESHOLDS.get(self.name, 0.5) if self.face_threshold is None else self.face_threshold

    @property
    def verified(self) -> bool:
        """Whether the detector only proposes, and the verifier has a say."""
        return self.name in ("cascade", "cnn")

    @property
    def own_looks(self) -> float:
        """How many looks of the verifier's the detector's own score is worth; a cascade's is no probability."""
        return 3 if self.name == "cnn" else 0

    def model_file(self) -> Path:
        """The detector's file; raises DetectorError if there is none."""
        if self.model is None:
            raise DetectorError(f"No detector model given. {MODEL_ORIGINS[self.name]}")
        if not self.model.is_file():
            raise DetectorError(f"No detector model at {self.model}. {MODEL_ORIGINS.get(self.name, '')}".strip())
        return self.model

    def identity(self) -> dict[str, Any]:
        """What decides which boxes are found; raises DetectorError if a file is needed and missing."""
        identity: dict[str, Any] = {
            "name": self.name,
            "detect_size": self.detect_size,
            "face_threshold": self.threshold,
            "version": DETECTOR_VERSION,
        }
        if self.model or self.name in MODEL_ORIGINS:
            identity["model"] = hashlib.sha256(self.model_file().read_bytes()).hexdigest()
        return identity


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker reads images and finds faces."""

    detector: DetectorSettings = DetectorSettings()
    max_pixels: int = 200_000_000
    """Images with more are not decoded."""
    image_timeout: float = 60.0
    """Seconds after which a worker process gives up an image, and itself: decoders cannot be interrupted."""

    @property
    def enough(self) -> int:
        """Long side, in pixels, beyond which a decoded image gains nothing: twice what the detector sees.

        The smallest faces that the detector finds are then still nearly as large as the crops.
        """
        return 2 * self.detector.detect_size
