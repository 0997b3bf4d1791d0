"""How many votes the windows that lie on faces have in each stage of the cascade, by hand from the repository's root.

python tests/benchmarks/cascade_stages.py PHOTOS --boxes BOXES.json

The photographs are some of those that ``annotate-train faces`` trains on; of each face the windows count that have most
votes in the end. ``Cascade.LEAST_VOTES`` are about the quantiles at 0.05.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from figures import add_json_option, write_figures

from batch.detection.boxes import iou
from batch.detection.detectors.cascade import Cascade, haar_cascade
from batch.images.decode import read_photograph
from batch.settings import DetectorSettings
from batch.workers.worker import shrunken
from jobs.training.face_sets import read_boxes, split

STAGES, SCALE_FACTOR = 12, 1.2
"""As many stages as these windows pass, and the steps between their sizes."""
NEAR, OF_EACH_FACE = 0.35, 6
"""Least intersection over union with a face, and windows of each face."""
SHARES = (0, 0.01, 0.02, 0.05, 0.1)


def windows(cascade: "cv2.CascadeClassifier", gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The windows (N, 4) that pass all stages of a cascade, and their votes (N,) in the last one."""
    size = (Cascade.SMALLEST, Cascade.SMALLEST)
    found, _, votes = cascade.detectMultiScale3(gray, SCALE_FACTOR, 0, minSize=size, outputRejectLevels=True)
    return np.asarray(found, int).reshape(-1, 4), np.asarray(votes, float).ravel()


def votes_on_faces(gray: np.ndarray, faces: np.ndarray, cascades: list["cv2.CascadeClassifier"]) -> np.ndarray:
    """The votes (N, stages) of the windows on faces (M, 4) of an image."""
    found, votes = windows(cascades[-1], gray)
    overlaps = iou(faces, found)
    near = {
        tuple(found[window])
        for face in overlaps
        for window in sorted(np.flatnonzero(face >= NEAR), key=lambda one: -votes[one])[:OF_EACH_FACE]
    }
    stages = [
        dict(zip(map(tuple, boxes), sums, strict=True)) for boxes, sums in (windows(one, gray) for one in cascades)
    ]
    return np.array([[sums[window] for sums in stages] for window in sorted(near)]).reshape(-1, len(cascades))


def some_trained_on(known: Iterable[str], count: int) -> list[str]:
    """Some of the photographs that annotate-train faces trains on."""
    trained_on = split(list(known), 0.2, 0)[0]
    return np.random.default_rng(1).permutation(trained_on)[:count].tolist()


def main() -> None:
    """Print the quantiles of the votes in each stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--boxes", type=Path, required=True)
    parser.add_argument("--count", type=int, default=250, help="photographs")
    add_json_option(parser)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    cascades = [haar_cascade(stages) for stages in range(1, STAGES + 1)]
    known = read_boxes(arguments.boxes)
    found = []
    for path in some_trained_on(known, arguments.count):
        photograph = read_photograph(arguments.photographs / path, 10**9, 10**5)
        gray = shrunken(photograph.gray, DetectorSettings.detect_size)
        faces = known[path].faces * gray.shape[1] / photograph.width
        found.append(votes_on_faces(gray, faces[faces[:, 2:].max(axis=1) >= Cascade.SMALLEST], cascades))
    votes = np.concatenate(found)
    print(f"{len(votes)} windows\n| stage | {' | '.join(map(str, SHARES))} |\n|---|{'---|' * len(SHARES)}")  # noqa: T201
    measured = []
    for stage, of_stage in enumerate(votes.T, 1):
        quantiles = np.quantile(of_stage, SHARES)
        print(f"| {stage} | {' | '.join(f'{one:.2f}' for one in quantiles)} |")  # noqa: T201
        measured.append({"stage": stage} | {f"{share:g}": one for share, one in zip(SHARES, quantiles, strict=True)})
    write_figures(arguments.json, measured)


if __name__ == "__main__":
    main()
