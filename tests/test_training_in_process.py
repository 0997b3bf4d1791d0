"""The way of a training from data to a model on disk, with a network of a few numbers in place of the large one."""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from drawn_faces import write_class_folders
from keras import layers
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from model.bundle import load_network, read_card
from model.data.crops import LabelledCrops
from model.data.datasets import read_parts
from model.data.split import split_parts
from model.emotions import training as emotions
from model.emotions.training import EmotionTraining, train_emotions
from model.evaluation.metrics import measure
from model.training.loop import TrainingSettings

pytestmark = [pytest.mark.usefixtures("untraced"), pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> list[keras.Model]:
    """Train a linear network of 36 inputs; its trained heads, one network a training, for the test to look at."""
    made: list[keras.Model] = []

    def tiny(labellings: Any, labels: int) -> keras.Model:
        pixels = keras.Input((48, 48, 1))
        features = layers.Rescaling(1 / 64, -2)(layers.Flatten()(layers.AveragePooling2D(8)(pixels)))
        heads = {name: layers.Dense(labels, name=name)(features) for name in labellings}
        made.append(keras.Model(pixels, heads))
        return made[-1]

    monkeypatch.setattr(emotions, "training_network", tiny)
    monkeypatch.setattr(emotions, "write_pictures", lambda *_: None)
    monkeypatch.setattr(emotions, "_callbacks", lambda *_: ())
    return made


def quick(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 3, "batch_size": 16, "copies": 2, "learning_rate": 0.3} | changes)


def job(faces: Path, output: Path, **changes: Any) -> EmotionTraining:
    return EmotionTraining(**{"faces": faces, "votes": None, "output": output, "settings": quick()} | changes)


def best_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """SciPy's minimum of the cross-entropy."""

    def loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean())

    return float(minimize_scalar(loss, method="bounded", bounds=(0.25, 4)).x)


def sides(faces: Path, votes: Path | None = None) -> tuple[LabelledCrops, LabelledCrops]:
    return split_parts(read_parts(faces, votes), 0, faces)


def test_a_model_is_its_logits_calibrated_on_the_validation_part(networks: list[keras.Model], tmp_path: Path) -> None:
    """The file answers with the softmax of the trained logits over the temperature that SciPy finds there."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 40, "angry": 40, "sad": 40})
    figures = train_emotions(job(faces, tmp_path / "m.keras", settings=quick(learning_rate=3.0)))
    training, validation = sides(faces)
    assert (len(training), len(validation)) == (96, 24)
    pixels = validation.images[..., None].astype("float32")
    logits = np.asarray(networks[0].predict(pixels, verbose=0)["emotion"])
    temperature = best_temperature(logits, validation.truth["emotion"])
    assert not 0.9 < temperature < 1.1
    found = np.asarray(load_network(read_card(tmp_path / "m.keras"))(pixels))
    assert found == pytest.approx(softmax(logits / temperature, axis=1), abs=0.01)
    again = measure(found, validation.truth["emotion"], validation.labels)
    assert figures.accuracy == pytest.approx(again.accuracy)
    assert figures.ece == pytest.approx(again.ece, abs=1e-3)
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["validation"]["accuracy"] == pytest.approx(again.accuracy)
    assert facts["data"]["training_sha256"] == training.fingerprint()
    assert facts["data"]["validation_sha256"] == validation.fingerprint()


def fer2013(folder: Path) -> tuple[Path, Path]:
    """FER2013 with 60 noisy rows in Training and 30 in PublicTest, and votes of FER+ that say otherwise."""
    rng = np.random.default_rng(0)
    emotion, crowd = np.arange(90) % 7, (np.arange(90) * 3 + 1) % 7  # FER2013's ids, FER+'s columns
    levels = 25 * emotion[:, None] + rng.integers(0, 80, (90, 48 * 48))
    usage = ["Training"] * 60 + ["PublicTest"] * 30
    pixels = [" ".join(map(str, row)) for row in levels]
    pd.DataFrame({"emotion": emotion, "pixels": pixels, "Usage": usage}).to_csv(folder / "fer2013.csv", index=False)
    votes = np.zeros((90, 10), int)
    votes[np.arange(90), crowd] = 8
    votes[::9, 7] = 10  # contempt wins
    columns = ["Usage", "Image name", *(f"v{i}" for i in range(10))]
    table = pd.DataFrame([["", "", *row] for row in votes], columns=columns)
    table.to_csv(folder / "votes.csv", index=False)
    return folder / "fer2013.csv", folder / "votes.csv"


@pytest.mark.parametrize("shares", [{}, {"votes": 0.25, "emotion": 0.75}], ids=["by default", "mixed"])
def test_heads_count_by_their_shares(shares: dict[str, float], networks: list[keras.Model], tmp_path: Path) -> None:
    """By default the crowd's head alone; else the weighted mean of the logits, calibrated by the head that has most."""
    csv, votes = fer2013(tmp_path)
    train_emotions(job(csv, tmp_path / "m.keras", votes=votes, head_shares=shares))
    _, validation = sides(csv, votes)
    pixels = validation.images[..., None].astype("float32")
    heads = networks[0].predict(pixels, verbose=0)
    weights = shares or {"votes": 1.0}
    logits = sum(share * np.asarray(heads[name]) for name, share in weights.items())
    truth = validation.truth[max(weights, key=lambda name: weights[name])]
    counted = truth >= 0
    assert counted.all() == bool(shares)
    expected = softmax(logits / best_temperature(logits[counted], truth[counted]), axis=1)
    found = np.asarray(load_network(read_card(tmp_path / "m.keras"))(pixels))
    assert found == pytest.approx(expected, abs=0.02)


def test_a_teacher_changes_what_is_learnt_and_not_what_is_validated(
    networks: list[keras.Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Half of the training targets are its answers; validation keeps its labels."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 10, "angry": 10})
    train_emotions(job(faces, tmp_path / "teacher.keras"))
    seen: list[LabelledCrops] = []
    trained = emotions.train
    monkeypatch.setattr(emotions, "train", lambda net, *rest: seen.extend(rest[:2]) or trained(net, *rest))
    train_emotions(job(faces, tmp_path / "m.keras", teachers=(("emotion", tmp_path / "teacher.keras"),)))
    training, validation = sides(faces)
    teacher = load_network(read_card(tmp_path / "teacher.keras"))
    views = (training.images, training.images[:, :, ::-1])
    answers = np.mean([np.asarray(teacher(view[..., None].astype("float32"))) for view in views], axis=0)
    expected = 0.5 * training.targets["emotion"] + 0.5 * answers
    assert seen[0].targets["emotion"] == pytest.approx(expected, abs=1e-4)
    assert np.array_equal(seen[1].targets["emotion"], validation.targets["emotion"])
    assert len(networks) == 2
