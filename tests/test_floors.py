"""Floors of what the networks that ship are worth: recall and precision by detector, recall by emotion."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from conftest import annotate_here, tables, without_people
from PIL import Image
from sklearn.datasets import load_sample_image

from batch.detection.networks import onnx_classifier
from batch.settings import DetectorSettings, WorkerSettings
from jobs.training.detection_metrics import curve, match
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, GLANCE_MODEL, read_card
from model.data.fer2013 import read_fer2013
from model.evaluation.metrics import measure
from model.labels import EMOTIONS

LEAST_RECALL, LEAST_PRECISION = {"cascade": 0.90, "cnn": 0.93, "yunet": 0.95}, 0.97
LEAST_BY_EMOTION = dict.fromkeys(EMOTIONS, 0.5) | {"disgust": 0.4, "fear": 0.4}
SIZE, CELL = (640, 480), (126, 118)


def pasted(canvas: np.ndarray, patch: np.ndarray, left: int, top: int, side: int) -> None:
    """Paste a patch into the canvas with a soft edge."""
    across = np.abs((np.arange(side) + 0.5) / side * 2 - 1)
    mask = np.clip((1 - np.maximum(across[None], across[:, None])) / 0.15, 0, 1)
    under = canvas[top : top + side, left : left + side]
    under[:] = mask * cv2.resize(patch, (side, side), interpolation=cv2.INTER_CUBIC) + (1 - mask) * under


@pytest.fixture(scope="module")
def montages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """A hundred faces and a hundred patches without one, of LFW's subset in scikit-image, on photographs of no people.

    Each is 60 to 104 pixels large. Gives the folder and the boxes of the faces by file.
    """
    folder, rng, boxes = tmp_path_factory.mktemp("montages"), np.random.default_rng(0), {}
    patches = (skimage.data.lfw_subset() * 255).astype(np.float32)  # 100 faces, then 100 others, 25 x 25
    things = [without_people(), *(Image.fromarray(getattr(skimage.data, name)()) for name in ("brick", "cat"))]
    things += [Image.fromarray(load_sample_image(name)) for name in ("china.jpg", "flower.jpg")]
    for number in range(10):
        canvas, faces = np.asarray(things[number % 5].convert("L").resize(SIZE), np.float32).copy(), []
        for cell in range(20):
            side = int(rng.integers(60, 105))
            left = cell % 5 * CELL[0] + int(rng.integers(0, CELL[0] - side))
            top = cell // 5 * CELL[1] + int(rng.integers(0, CELL[1] - side))
            pasted(canvas, patches[10 * number + cell // 2 + 100 * (cell % 2)], left, top, side)
            faces += [] if cell % 2 else [[left, top, side, side]]
        Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8)).save(folder / f"{number}.png")
        boxes[f"{number}.png"] = np.array(faces, float)
    return folder, boxes


@pytest.mark.parametrize("name", LEAST_RECALL)
def test_each_detector_finds_most_of_a_hundred_faces(
    name: str, montages: tuple[Path, dict[str, np.ndarray]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With its own settings each finds nine of ten, and hardly anything that is none."""
    model = DETECTOR_MODEL if name == "cnn" else None
    if name == "yunet":
        model = request.getfixturevalue("shared_data") / "yunet" / "face_detection_yunet_2023mar.onnx"
    detector = DetectorSettings(name, model=model, glance=GLANCE_MODEL)
    folder, boxes = montages
    annotate_here(folder, tmp_path / "out", worker=WorkerSettings(detector))
    rows, pairs = tables(tmp_path / "out")[1], []
    for file, faces in boxes.items():
        found = rows[rows["path"] == file]
        scores = found["face_score"].to_numpy(float)
        pairs.append((scores, match(found[["x", "y", "width", "height"]].to_numpy(float), scores, faces, max(SIZE))))
    recall, precision = curve(pairs).at_threshold(0)
    assert recall >= LEAST_RECALL[name]
    assert precision >= LEAST_PRECISION


def test_each_emotion_is_recognised(shared_data: Path) -> None:
    """On FER2013's PublicTest, by the crowd's majority, as the card says: no emotion below its floor, and honestly."""
    folder = shared_data / "fer2013"
    crops = read_fer2013(folder / "fer2013.csv.xz", folder / "fer2013new.csv")["PublicTest"]
    counted = crops.truth["votes"] >= 0
    card = read_card(EMOTION_MODEL)
    probabilities = onnx_classifier(EMOTION_MODEL.with_suffix(".onnx"))(crops.crops[counted])
    probabilities = probabilities[:, [card.labels.index(emotion) for emotion in EMOTIONS]]
    figures = measure(probabilities, crops.truth["votes"][counted], EMOTIONS)
    recalls = {emotion: round(figures.per_class[emotion]["recall"], 3) for emotion in EMOTIONS}
    assert {emotion: recall for emotion, recall in recalls.items() if recall < LEAST_BY_EMOTION[emotion]} == {}
    assert figures.accuracy > 0.79
    assert figures.ece < 0.09
    assert figures.mean_recall > 0.77
    assert figures.macro_f1 > 0.7
