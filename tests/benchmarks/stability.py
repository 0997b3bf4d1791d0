"""How often a face's label changes when its box moves by 5 %, at several sizes; by hand from the repository's root.

python tests/benchmarks/stability.py PHOTOS
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from batch.detection.crop import crop_faces
from batch.images.decode import ImageError, Photograph, read_photograph
from batch.images.formats import has_image_suffix
from batch.outcome import Box, Found, Key, Outcome, Status
from batch.settings import DetectorSettings
from batch.workers.worker import find_faces, shared_detector
from jobs.annotation.face_batches import VERIFIED_AT_A_TIME, verify_faces
from model.bundle import EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL, read_card
from model.inference import Classifier

SIDES = (40, 80, 300)
SHIFT = 0.05
MOVES = [(0, 0, 1), (SHIFT, 0, 1), (-SHIFT, 0, 1), (0, SHIFT, 1), (0, -SHIFT, 1), (0, 0, 1 + SHIFT), (0, 0, 1 - SHIFT)]


def faces_of(photograph: Photograph, verifier: Classifier) -> tuple[Box, ...]:
    """The faces of a photograph, as ``annotate`` finds them."""
    settings = DetectorSettings(model=GLANCE_MODEL)
    boxes, crops, patches = find_faces(photograph, shared_detector(settings), settings)
    outcome = Outcome(Found(Key("", ""), 0, 0), Status.OK, boxes=tuple(boxes), crops=crops, patches=patches)
    (verified,) = verify_faces([outcome], verifier.predict, VERIFIED_AT_A_TIME, settings)
    return verified.boxes


def moved_crops(gray: np.ndarray, box: Box, side: float) -> np.ndarray:
    """The crops (7, 48, 48) of a box and of its moves, the longer side of the box shrunk to ``side`` pixels."""
    shrink = side / max(box.width, box.height)
    small = cv2.resize(gray, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    boxes = []
    for across, down, grown in MOVES:
        centre = (box.x + box.width * (0.5 + across)) * shrink, (box.y + box.height * (0.5 + down)) * shrink
        boxes.append(Box(centre[0] - side * grown / 2, centre[1] - side * grown / 2, side * grown, side * grown, 0))
    return crop_faces(small, boxes)


def main() -> None:
    """Read the arguments, move every face, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--model", type=Path, default=EMOTION_MODEL)
    arguments = parser.parse_args()
    verifier = Classifier(read_card(FACE_MODEL), VERIFIED_AT_A_TIME)
    emotions = Classifier(read_card(arguments.model), 64)
    crops: dict[int, list[np.ndarray]] = {side: [] for side in SIDES}
    for file in sorted(arguments.photographs.rglob("*")):
        if not has_image_suffix(file.name):
            continue
        try:
            photograph = read_photograph(file, 10**9, 10**5)
        except ImageError:
            continue
        for box in faces_of(photograph, verifier):
            for side in SIDES:
                if max(box.width, box.height) >= side:
                    crops[side].append(moved_crops(photograph.gray, box, side))
    print("| face, px | faces | labels that change | of those with confidence >= 0.5 |\n|---|---|---|---|")  # noqa: T201
    for side, of_side in crops.items():
        if not of_side:
            continue
        answers = emotions.predict(np.concatenate(of_side)).reshape(len(of_side), len(MOVES), -1)
        labels, sure = answers.argmax(axis=2), answers[:, 0].max(axis=1) >= 0.5
        flips = labels[:, 1:] != labels[:, :1]
        rates = f"{100 * flips.mean():.1f} % | {100 * flips[sure].mean():.1f} % of {sure.sum()}"
        print(f"| {side} | {len(of_side)} | {rates} |")  # noqa: T201


if __name__ == "__main__":
    main()
