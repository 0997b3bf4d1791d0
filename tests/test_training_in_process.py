"""The way of a training from data to a model on disk, with a network of a few numbers in place of the large one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from drawn_faces import write_class_folders
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from training_runs import exporting_here, linear_network

from model.bundle import load_network, read_card
from model.data.fer2013 import read_fer2013
from model.device import compute_reproducibly
from model.emotions import training as emotions
from model.emotions.training import EmotionTraining, train_emotions
from model.evaluation.metrics import measure
from model.training.batches import TrainingSet, TrainingSettings

pytestmark = [pytest.mark.usefixtures("untraced"), pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")]


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[keras.Model]]:
    """Train a linear network of 36 inputs; its trained heads, one network a training, for the test to look at."""
    made: list[keras.Model] = []

    def tiny(labellings: Any, labels: int) -> keras.Model:
        made.append(linear_network(labellings, labels))
        return made[-1]

    monkeypatch.setattr(emotions, "training_network", tiny)
    monkeypatch.setattr(emotions, "write_pictures", lambda *_: None)
    monkeypatch.setattr(emotions, "_callbacks", lambda *_: ())
    with exporting_here:
        yield made


def quick(**changes: Any) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 3, "batch_size": 16, "copies": 2, "learning_rate": 0.3} | changes)


def job(faces: Path, output: Path, **changes: Any) -> EmotionTraining:
    return EmotionTraining(**{"data": (faces,), "votes": None, "output": output, "settings": quick()} | changes)


def best_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """SciPy's minimum of the cross-entropy."""

    def loss(temperature: float) -> float:
        return float(-log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth].mean())

    return float(minimize_scalar(loss, method="bounded", bounds=(0.25, 4)).x)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[TrainingSet]:
    """The sets that a training gets to train and to validate on."""
    sets: list[TrainingSet] = []
    trained = emotions.train
    monkeypatch.setattr(emotions, "train", lambda net, given, *rest: sets.extend(given) or trained(net, given, *rest))
    return sets


def test_a_model_is_its_logits_calibrated_on_the_validation_part(
    networks: list[keras.Model], seen: list[TrainingSet], tmp_path: Path
) -> None:
    """The file answers with the softmax of the trained logits over the temperature that SciPy finds there."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 40, "angry": 40, "sad": 40})
    (answers,) = train_emotions(job(faces, tmp_path / "m.keras", settings=quick(learning_rate=3.0))).values()
    (each,) = seen
    assert (len(each.crops), len(each.validation)) == (96, 24)
    truth = each.validation.truth["emotion"]
    pixels = each.validation.crops[..., None].astype("float32")
    logits = np.asarray(networks[0].predict(pixels, verbose=0)["emotion"])
    temperature = best_temperature(logits, truth)
    assert not 0.9 < temperature < 1.1
    card = read_card(tmp_path / "m.keras")
    assert card.onnx == tmp_path / "m.onnx"
    found = np.asarray(load_network(card)(pixels))
    assert found == pytest.approx(softmax(logits / temperature, axis=1), abs=0.01)
    again = measure(found, truth, each.validation.labels)
    assert answers.figures.accuracy == pytest.approx(again.accuracy)
    assert answers.figures.ece == pytest.approx(again.ece, abs=1e-3)
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["validation"]["faces"]["accuracy"] == pytest.approx(again.accuracy)
    assert facts["data"]["faces"]["training_sha256"] == each.crops.fingerprint()
    assert facts["data"]["faces"]["validation_sha256"] == each.validation.fingerprint()


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


def test_votes_are_those_of_the_rows_that_are_there(tmp_path: Path) -> None:
    """Where fer2013.csv lacks its end, its faces keep the votes that they had."""
    csv, votes = fer2013(tmp_path)
    whole = read_fer2013(csv, votes)["Training"]
    pd.read_csv(csv).iloc[:60].to_csv(csv, index=False)
    cut_off = read_fer2013(csv, votes)
    assert [*cut_off] == ["Training"]
    assert np.array_equal(cut_off["Training"].images, whole.images)
    for column in ("targets", "weights", "truth"):
        assert np.array_equal(getattr(cut_off["Training"], column)["votes"], getattr(whole, column)["votes"])


@pytest.mark.parametrize("share", [1.0, 0.25])
def test_labels_and_votes_are_mixed_by_the_share(
    share: float, networks: list[keras.Model], seen: list[TrainingSet], tmp_path: Path
) -> None:
    """A row's target is its votes' and its label's, by the share and by how much each counts; weights add up."""
    csv, votes = fer2013(tmp_path)
    train_emotions(job(csv, tmp_path / "m.keras", votes=votes, votes_share=share))
    parts = read_fer2013(csv, votes)
    for mixed, part in ((seen[0].crops, parts["Training"]), (seen[0].validation, parts["PublicTest"])):
        voted = share * part.weights["votes"]
        weight = voted + (1 - share)
        assert mixed.weights["emotion"] == pytest.approx(weight)
        target = voted[:, None] * part.targets["votes"] + (1 - share) * part.targets["emotion"]
        counted = weight > 0
        assert mixed.targets["emotion"][counted] == pytest.approx((target / weight[:, None])[counted], abs=1e-6)
    assert len(networks) == 1


def test_both_labellings_calibrate(networks: list[keras.Model], seen: list[TrainingSet], tmp_path: Path) -> None:
    """The temperature is the best for both truths, each counting the same, rows without a label left out."""
    csv, votes = fer2013(tmp_path)
    train_emotions(job(csv, tmp_path / "m.keras", votes=votes, settings=quick(learning_rate=3.0)))
    validation = seen[0].validation
    pixels = validation.crops[..., None].astype("float32")
    logits = np.asarray(networks[0].predict(pixels, verbose=0)["emotion"])

    def loss(temperature: float) -> float:
        of_each = [
            -log_softmax(logits[truth >= 0] / temperature, axis=1)[
                np.arange((truth >= 0).sum()), truth[truth >= 0]
            ].mean()
            for truth in validation.truth.values()
        ]
        return float(np.mean(of_each))

    best = float(minimize_scalar(loss, method="bounded", bounds=(0.25, 4)).x)
    assert any((truth < 0).any() for truth in validation.truth.values())
    found = np.asarray(load_network(read_card(tmp_path / "m.keras"))(pixels))
    assert found == pytest.approx(softmax(logits / best, axis=1), abs=0.02)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only TensorFlow needs to be told")
def test_what_is_computed_can_be_computed_again() -> None:
    """TensorFlow's operations are told to be deterministic."""
    config = pytest.importorskip("tensorflow.python.framework.config")
    config.disable_op_determinism()
    compute_reproducibly()
    assert config.is_op_determinism_enabled()


def test_a_teacher_changes_what_is_learnt_and_not_what_is_validated(
    networks: list[keras.Model], seen: list[TrainingSet], tmp_path: Path
) -> None:
    """Half of the training targets are its answers; validation keeps its labels."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 10, "angry": 10})
    train_emotions(job(faces, tmp_path / "teacher.keras"))
    train_emotions(job(faces, tmp_path / "m.keras", teachers=(tmp_path / "teacher.keras",)))
    before, after = seen
    teacher = load_network(read_card(tmp_path / "teacher.keras"))
    views = (before.crops.crops, before.crops.crops[:, :, ::-1])
    answers = np.mean([np.asarray(teacher(view[..., None].astype("float32"))) for view in views], axis=0)
    expected = 0.5 * before.crops.targets["emotion"] + 0.5 * answers
    assert after.crops.targets["emotion"] == pytest.approx(expected, abs=1e-4)
    assert np.array_equal(after.validation.targets["emotion"], before.validation.targets["emotion"])
    assert len(networks) == 2
