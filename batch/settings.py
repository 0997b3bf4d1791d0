"""How images are read and faces found; what of it belongs to the output's identity."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.errors import DetectorError


@dataclass(frozen=True)
class DetectorSpec:
    """What is known of a detector by its name."""

    threshold: float
    """Least probability that a box holds a face, chosen for 95 % precision on WIDER FACE photographs, and for cascade
    and cnn a little higher than the ones held out ask for, since others may be harder."""
    verified: bool = True
    """Whether it only proposes, and the verifier has a say."""
    weight: float = 0.0
    """How many looks of the verifier's its own score is worth; a cascade's is no probability."""
    overlap: float = 0.5
    """Verified boxes are one face if more of the smaller one lies in the other. A cascade's windows lie all around a
    face; cnn has told its boxes apart before, so that what still overlaps may be two faces side by side."""
    version: int = 7
    """Raised whenever the same settings would give other boxes."""
    origin: str | None = None
    """Where the file comes from that it needs; None if it needs none."""


DETECTORS = {
    "cascade": DetectorSpec(0.5, version=8),
    "cnn": DetectorSpec(
        0.38,
        weight=3,
        overlap=0.7,
        version=8,
        origin="--detector cnn needs --detector-model with an ONNX file that annotate-train detector has written.",
    ),
    "yunet": DetectorSpec(
        0.6,
        verified=False,
        origin="--detector yunet needs --detector-model with the file face_detection_yunet_2023mar.onnx, which OpenCV "
        "publishes in its model zoo, the repository opencv/opencv_zoo on GitHub.",
    ),
}


@dataclass(frozen=True)
class DetectorSettings:
    """Which detector, and on which image it looks."""

    name: str = "cascade"
    detect_size: int = 640
    """Long side, in pixels, of the image that the detector sees; smaller images are not enlarged."""
    face_threshold: float | None = None
    """Least probability that a box holds a face; None for the detector's own."""
    model: Path | None = None
    """The file that ``cnn`` and ``yunet`` need."""
    glance: Path | None = None
    """The network that glances at the windows of ``cascade``; None: the verifier sees all of them."""

    @property
    def spec(self) -> DetectorSpec:
        """What is known of the detector; raises DetectorError if there is none of that name."""
        if self.name not in DETECTORS:
            raise DetectorError(f"No detector is called {self.name!r}.")
        return DETECTORS[self.name]

    @property
    def threshold(self) -> float:
        """Least probability that a box holds a face."""
        return self.spec.threshold if self.face_threshold is None else self.face_threshold

    def model_file(self) -> Path:
        """The detector's file; raises DetectorError if there is none."""
        if self.model is None:
            raise DetectorError(f"No detector model given. {self.spec.origin}")
        if not os.path.isfile(self.model):  # noqa: PTH113 - Path raises
            raise DetectorError(f"No detector model at {self.model}. {self.spec.origin}")
        return self.model

    def identity(self) -> dict[str, Any]:
        """What decides which boxes are found; raises DetectorError if a file is needed and missing."""
        identity: dict[str, Any] = {
            "name": self.name,
            "detect_size": self.detect_size,
            "face_threshold": self.threshold,
            "version": self.spec.version,
        }
        file = self.model_file() if self.spec.origin else self.glance
        if file:
            identity["model"] = hashlib.sha256(file.read_bytes()).hexdigest()
        return identity


@dataclass(frozen=True)
class NetworkFiles:
    """What a worker verifies and labels faces with, as ONNX files."""

    emotions: Path
    verifier: Path | None = None
    """None for detectors whose boxes are not verified."""
    left_out: int | None = None
    """Number of the label that is left out, the others being renormalised."""


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker reads images, finds faces and labels them."""

    detector: DetectorSettings = DetectorSettings()
    max_pixels: int = 200_000_000
    """Images with more are not decoded."""
    image_timeout: float = 60.0
    """Seconds after which a worker process gives up an image, and itself: decoders cannot be interrupted."""
    store_timeout: float = 900.0
    """Seconds that a store is waited for which does not answer; fetching from it is no part of ``image_timeout``."""
    networks: NetworkFiles | None = None
    """None: a worker only proposes faces, and one process with a GPU verifies and labels those of all."""
    crops: bool = False
    """Whether the crops of the faces are asked for."""

    @property
    def decode_long_side(self) -> int:
        """Long side, in pixels, beyond which a decoded image gains nothing: twice what the detector sees.

        The smallest faces that the detector finds are then still nearly as large as the crops.
        """
        return 2 * self.detector.detect_size
