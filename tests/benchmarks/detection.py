"""Recall, precision and time of every way to find faces, in one run, by hand from the repository's root.

python tests/benchmarks/detection.py PHOTOS --boxes BOXES.json --held-out --yunet face_detection_yunet_2023mar.onnx
"""

import argparse
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from figures import add_json_option, write_figures

from batch.detection.faces import CLASSIFY, VERIFY, answered, labelled_faces
from batch.detection.networks import onnx_classifier
from batch.images.decode import Photograph, read_photograph
from batch.outcome import ImageFile, Key, Proposals
from batch.settings import DetectorSettings
from batch.workers.worker import find_faces, shared_detector
from jobs.training.detection_metrics import curve, match
from jobs.training.face_sets import KnownFaces, read_boxes, split
from model.bundle import DETECTOR_MODEL, FACE_MODEL, GLANCE_MODEL

WAYS = {
    "cascade, fast": DetectorSettings(detect_size=480, glance=GLANCE_MODEL),
    "cascade, default": DetectorSettings(glance=GLANCE_MODEL),
    "cascade, every window": DetectorSettings(),
    "cascade, thorough": DetectorSettings("cascade", 960, 0.6, glance=GLANCE_MODEL),
    "cnn, fast": DetectorSettings("cnn", 480, model=DETECTOR_MODEL),
    "cnn, default": DetectorSettings("cnn", model=DETECTOR_MODEL),
    "cnn, thorough": DetectorSettings("cnn", 960, 0.6, model=DETECTOR_MODEL),
}


SIZES = {"all": (40, np.inf), "40 to 80": (40, 80), "80 to 160": (80, 160), "above": (160, np.inf)}
"""Shorter sides of faces, in pixels of a photograph 1024 wide."""

LEAST = 0.03
"""Least score of a box where the precision at every threshold is asked for."""


@dataclass
class Timed:
    """The boxes (N, 4) and scores (N,) that one way has found in each photograph, and its CPU time."""

    seconds: float = 0.0
    found: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def add(self, boxes: Iterable[tuple[float, ...]], scores: list[float]) -> None:
        """Note what was found in the next photograph."""
        self.found.append((np.array(list(boxes), float).reshape(-1, 4), np.array(scores, float)))


def plain_cascade(photographs: list[Photograph]) -> Timed:
    """OpenCV's default cascade with its default settings on the full image; agreeing windows are no score."""
    file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_default.xml"
    cascade, timed = cv2.CascadeClassifier(str(file)), Timed()
    for photograph in photographs:
        started = time.process_time()
        boxes = cascade.detectMultiScale(photograph.gray, scaleFactor=1.1, minNeighbors=5)
        timed.seconds += time.process_time() - started
        timed.add([tuple(box) for box in boxes], [1.0] * len(boxes))
    return timed


def verified(photographs: list[Photograph], settings: DetectorSettings) -> Timed:
    """A way of this project, verification included, as ``annotate`` goes it; without emotions."""
    timed, detector, verifier = Timed(), shared_detector(settings), onnx_classifier(FACE_MODEL.with_suffix(".onnx"))
    networks = {VERIFY: verifier, CLASSIFY: lambda crops: np.ones((len(crops), 1))}
    started = time.process_time()
    for photograph in photographs:
        found = find_faces(photograph, detector, settings)
        image = ImageFile(Key("", ""), 0, 0), photograph.width, photograph.height, None
        asking = labelled_faces(Proposals(*image, *found, {}), settings)
        faces = answered(asking, networks.__getitem__).faces
        timed.add((face.box for face in faces), [face.score for face in faces])
    timed.seconds = time.process_time() - started
    return timed


def figures(name: str, timed: Timed, known: list[KnownFaces], plain: float) -> dict[str, str | int | float]:
    """Say one line of the table, and give it; ``plain`` is the cascade's time for all photographs."""
    matched = [
        (scores, match(boxes, scores, faces.faces, faces.long_side))
        for (boxes, scores), faces in zip(timed.found, known, strict=True)
    ]
    recall, precision = curve(matched).at_threshold(0)
    each, share = 1000 * timed.seconds / len(known), timed.seconds / plain
    print(f"| {name:<66} | {recall:.3f} | {precision:.3f} | {each:4.0f} | {share:.2f} |", flush=True)  # noqa: T201
    found = {"recall": float(recall), "precision": float(precision), "ms": each, "share": share}
    return {"photographs": len(known), "detector": name, **found}


def precision_by_size(name: str, timed: Timed, known: list[KnownFaces]) -> dict[str, str | float]:
    """Say one line of the table of average precisions, and give it."""
    found = {}
    for size, sides in SIZES.items():
        matched = [
            (scores, match(boxes, scores, faces.faces, faces.long_side, sizes=sides))
            for (boxes, scores), faces in zip(timed.found, known, strict=True)
        ]
        if size == "all":
            found["recall at 95 %"] = curve(matched).at_precision(0.95)[1]
        found[size] = curve(matched).average_precision
    print(f"| {name} |", *(f"{value:.3f} |" for value in found.values()), flush=True)  # noqa: T201
    return {"detector": name, **found}


def asked_for(every: Iterable[str], held_out: bool, below: str) -> list[str]:
    """Of the photographs those whose path starts with ``below``: all, or what annotate-train faces held out."""
    paths = split(list(every), 0.2, 0)[1] if held_out else sorted(every)
    return [path for path in paths if path.startswith(below)]


def main() -> None:
    """Read the arguments, run every way on the same photographs, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--below", default="", help="only photographs whose path starts so")
    parser.add_argument("--held-out", action="store_true", help="only those that annotate-train faces held out")
    parser.add_argument("--by-size", action="store_true", help="average precision by size of face instead")
    parser.add_argument("--yunet", type=Path, help="face_detection_yunet_2023mar.onnx")
    add_json_option(parser)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    every = read_boxes(arguments.boxes)
    paths = asked_for(every, arguments.held_out, arguments.below)
    known = [every[path] for path in paths]
    photographs = [read_photograph(arguments.photographs / path, 10**9, 10**5) for path in paths]
    yunet = {"yunet": DetectorSettings("yunet", model=arguments.yunet)} if arguments.yunet else {}
    if arguments.by_size:
        print("| detector | recall at 95 % precision |", " | ".join(SIZES), "|\n|---|---|---|---|---|---|")  # noqa: T201
        ways = {name: WAYS[f"{name}, default"] for name in ("cascade", "cnn")} | yunet
        every_score = {name: replace(way, face_threshold=LEAST) for name, way in ways.items()}
        every_row = [precision_by_size(name, verified(photographs, way), known) for name, way in every_score.items()]
        write_figures(arguments.json, every_row)
        return
    plain = plain_cascade(photographs)
    print(f"{len(known)} photographs; ms are CPU time per photograph without decoding")  # noqa: T201
    print("| detector | recall | precision | ms | share |\n|---|---|---|---|---|")  # noqa: T201
    rows = [figures("OpenCV's default cascade, full image", plain, known, plain.seconds)]
    for name, settings in WAYS.items():
        timed = verified(photographs, settings)
        options = f"--detect-size {settings.detect_size} --face-threshold {settings.threshold}"
        rows.append(figures(f"{name} ({options})", timed, known, plain.seconds))
    for name, settings in yunet.items():
        timed = verified(photographs, settings)
        rows.append(figures(f"{name} (--detect-size {settings.detect_size})", timed, known, plain.seconds))
    write_figures(arguments.json, rows)


if __name__ == "__main__":
    main()
