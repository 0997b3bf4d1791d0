"""What the columns sharpness, brightness and contrast cost, in CPU time of one core beside all else that a worker does.

python tests/benchmarks/quality.py PHOTOS
"""

import argparse
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np

from batch.detection.quality import measure_faces
from batch.outcome import ImageFile, Outcome
from batch.roots import typed_root
from batch.roots.walk import WalkSettings
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings
from batch.workers.worker import annotate_image
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL

NETWORKS = NetworkFiles(EMOTION_MODEL.with_suffix(".onnx"), FACE_MODEL.with_suffix(".onnx"))
DETECTORS = {
    "cascade": DetectorSettings(glance=GLANCE_MODEL),
    "cnn": DetectorSettings("cnn", model=DETECTOR_MODEL),
}


class Clock:
    """Measures faces as a worker does, and how long that takes."""

    boxes, seconds = 0, 0.0

    def __call__(self, gray: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """What ``measure_faces`` gives."""
        started = time.process_time()
        quality = measure_faces(gray, boxes)
        self.seconds += time.process_time() - started
        self.boxes += len(boxes)
        return quality


def row(images: list[ImageFile], name: str) -> str:
    """The row of a detector."""
    settings = WorkerSettings(DETECTORS[name], networks=NETWORKS)
    annotate_image(images[0], settings)  # builds the networks
    clock, started = Clock(), time.process_time()
    with patch("batch.workers.worker.measure_faces", clock):
        outcomes = [annotate_image(found, settings) for found in images]
    everything = time.process_time() - started
    count = len(images)
    faces = sum(len(outcome.faces) for outcome in outcomes if isinstance(outcome, Outcome))
    return line(name, faces, count, clock, everything)


def line(name: str, faces: int, count: int, clock: Clock, everything: float) -> str:
    """What the table says of ``count`` images that took ``everything`` seconds."""
    return (
        f"| {name} | {faces / count:.1f} | {clock.boxes / count:.1f} | {1e3 * clock.seconds / count:.2f} | "
        f"{1e3 * everything / count:.1f} | {clock.seconds / everything:.1%} |"
    )


def main() -> None:
    """Read the arguments, print a row for each detector."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    images = list(typed_root(str(parser.parse_args().photographs)).images(WalkSettings()))
    print(f"{len(images)} images; ms of CPU time an image\n")  # noqa: T201
    print("| detector | faces | boxes | the three columns | everything | share |\n|---|---|---|---|---|---|")  # noqa: T201
    for name in DETECTORS:
        print(row(images, name), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
