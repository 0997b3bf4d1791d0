"""How well ``fer`` names the faces that our own model is measured on, by hand from the repository's root.

python tests/benchmarks/peer.py fer2013.csv --votes fer2013new.csv --fer ENVIRONMENT/bin/python

``fer`` gets FER2013's crops as its network was trained on them: gray, enlarged to 64 pixels, without the margin that it
adds to a cascade's boxes.
"""

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from model.bundle import EMOTION_MODEL, read_card
from model.data.fer2013 import FER2013_IDS, read_fer2013
from model.evaluation.metrics import measure
from model.inference import Classifier
from model.labels import EMOTIONS

FER = """
import sys, cv2, numpy as np
from fer.fer import FER
images = np.load(sys.argv[1])
faces = np.array([cv2.resize(image, (64, 64)) for image in images], "float32") / 255
fer, starts = FER(), range(0, len(faces), 256)
np.save(sys.argv[2], np.concatenate([fer._classify_emotions((faces[i : i + 256] - 0.5) * 2) for i in starts]))
"""


def told(interpreter: str, images: np.ndarray) -> np.ndarray:
    """The probabilities (N, 7) that ``fer`` gives images (N, 48, 48), in the order of ``EMOTIONS``."""
    with tempfile.TemporaryDirectory() as name:
        asked, answered = Path(name) / "asked.npy", Path(name) / "answered.npy"
        np.save(asked, images)
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [interpreter, "-c", FER, str(asked), str(answered)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
        probabilities = np.load(answered)
    return probabilities[:, [FER2013_IDS.index(emotion) for emotion in EMOTIONS]]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("--votes", type=Path, required=True)
    parser.add_argument("--fer", required=True, help="a Python interpreter that can import fer 25.10.3")
    parser.add_argument("--usage", default="PublicTest")
    arguments = parser.parse_args()
    crops = read_fer2013(arguments.fer2013, arguments.votes)[arguments.usage]
    answers = {"fer": told(arguments.fer, crops.crops)}
    answers[EMOTION_MODEL.name] = Classifier(read_card(EMOTION_MODEL), 256).predict(crops.crops)
    known = crops.truth["votes"] >= 0
    agreed = known & (crops.targets["votes"].max(axis=1) * crops.weights["votes"] > 0.5)  # the share of all votes
    print("| | labels | faces | accuracy | mean recall | macro-F1 |\n|---|---|---|---|---|---|")  # noqa: T201
    for name, probabilities in answers.items():
        for labels, key, rows in (
            ("FER2013", "emotion", np.full(len(known), True)),
            ("FER+", "votes", known),
            ("FER+, more than half of the votes", "votes", agreed),
        ):
            figures = measure(probabilities[rows], crops.truth[key][rows], EMOTIONS)
            cells = f"{figures.accuracy:.3f} | {figures.mean_recall:.3f} | {figures.macro_f1:.3f}"
            print(f"| {name} | {labels} | {rows.sum()} | {cells} |")  # noqa: T201


if __name__ == "__main__":
    main()
