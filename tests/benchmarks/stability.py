"""How often a face's label changes when its box moves by 5 %, at several sizes; by hand from the repository's root.

python tests/benchmarks/stability.py PHOTOS
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from batch.detection.crop import crop_faces
from batch.images.decode import ImageError, read_photograph
from batch.images.formats import has_image_suffix
from batch.outcome import Box, ImageFile, Key, Outcome
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings
from batch.workers.worker import annotate_image
from model.bundle import EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL, read_card
from model.inference import Classifier

NETWORKS = NetworkFiles(EMOTION_MODEL.with_suffix(".onnx"), FACE_MODEL.with_suffix(".onnx"))
WORKER = WorkerSettings(DetectorSettings(glance=GLANCE_MODEL), networks=NETWORKS)
SIDES = (40, 80, 300)
SHIFT = 0.05
MOVES = [(0, 0, 1), (SHIFT, 0, 1), (-SHIFT, 0, 1), (0, SHIFT, 1), (0, -SHIFT, 1), (0, 0, 1 + SHIFT), (0, 0, 1 - SHIFT)]


def boxes_in(file: Path) -> list[Box]:
    """The boxes of the faces in a photograph, as ``annotate`` finds them."""
    outcome = annotate_image(ImageFile(Key(str(file.parent), file.name), 0, 0), WORKER)
    return [face.box for face in outcome.faces] if isinstance(outcome, Outcome) else []


def moved_crops(gray: np.ndarray, box: Box, side: float) -> np.ndarray:
    """The crops (7, 48, 48) of a box and of its moves, the longer side of the box shrunk to ``side`` pixels."""
    shrink = side / max(box.width, box.height)
    small = cv2.resize(gray, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    boxes = []
    for across, down, grown in MOVES:
        centre = (box.x + box.width * (0.5 + across)) * shrink, (box.y + box.height * (0.5 + down)) * shrink
        boxes.append((centre[0] - side * grown / 2, centre[1] - side * grown / 2, side * grown, side * grown))
    return crop_faces(small, np.array(boxes))


def rates(answers: np.ndarray) -> str:
    """How many labels change in probabilities (faces, moves, labels), of all and of those that were sure."""
    labels, sure = answers.argmax(axis=2), answers[:, 0].max(axis=1) >= 0.5
    flips = labels[:, 1:] != labels[:, :1]
    return f"{100 * flips.mean():.1f} % | {100 * flips[sure].mean():.1f} % of {sure.sum()}"


def main() -> None:
    """Read the arguments, move every face, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", type=Path, default=EMOTION_MODEL)
    arguments = parser.parse_args()
    emotions = Classifier(read_card(arguments.model), 64)
    crops: dict[int, list[np.ndarray]] = {side: [] for side in SIDES}
    for file in sorted(arguments.photographs.rglob("*")):
        if not has_image_suffix(file.name):
            continue
        try:
            photograph = read_photograph(file, 10**9, 10**5)
        except ImageError:
            continue
        for box in boxes_in(file):
            for side in SIDES:
                if max(box.width, box.height) >= side:
                    crops[side].append(moved_crops(photograph.gray, box, side))
    print("| face, px | faces | labels that change | of those with confidence >= 0.5 |\n|---|---|---|---|")  # noqa: T201
    for side, of_side in crops.items():
        if not of_side:
            continue
        answers = emotions.predict(np.concatenate(of_side)).reshape(len(of_side), len(MOVES), -1)
        print(f"| {side} | {len(of_side)} | {rates(answers)} |")  # noqa: T201


if __name__ == "__main__":
    main()
