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
from training_runs import exporting_here, here, linear_network

from jobs import evaluate
from model.bundle import EMOTION_MODEL, load_network, read_card
from model.data.crops import hard_labelled
from model.data.datasets import read_sets
from model.data.fer2013 import read_fer2013
from model.device import compute_reproducibly
from model.emotions import training as emotions
from model.emotions.training import EmotionTraining, train_emotions
from model.errors import DataError
from model.evaluation.metrics import measure
from model.training.batches import TrainingSet, TrainingSettings
from model.training.log import EpochLog, TensorBoardPictures, sheet_png

CALLBACKS = emotions._callbacks

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
    with exporting_here():
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


def test_labels_and_votes_are_evaluated(
    networks: list[keras.Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The figures on the votes stand beside those on the labels, in the log by their names; on the device asked for."""
    told: list[Any] = []
    csv, votes = fer2013(tmp_path)
    train_emotions(job(csv, tmp_path / "m.keras", votes=votes))
    monkeypatch.setattr(evaluate, "_write", lambda *given: told.append(given))
    monkeypatch.setattr("model.device.choose_device", lambda device: told.append(device) or device)
    options = ("--votes", votes, "--usage", "PublicTest", "--device", "gpu")
    done = here("evaluate", tmp_path / "m.keras", csv, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    device, (_, _, answers, *_) = told
    assert (device, set(answers)) == ("gpu", {"fer2013 by emotion", "fer2013 by votes"})
    for name, figures in ((name, of_one.figures) for name, of_one in answers.items()):
        rates = f"mean recall {figures.mean_recall:.4f}, macro-F1 {figures.macro_f1:.4f}, ECE {figures.ece:.4f}"
        assert f"m.keras on {name}: accuracy {figures.accuracy:.4f}, {rates}" in done.stderr
        assert abs(figures.mean_recall - figures.macro_f1) > 1e-4
    assert len(networks) == 1


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


def test_what_is_asked_for_reaches_the_training(
    networks: list[keras.Model], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Seed, weights of data sets, callbacks, the model to go on from and how much of it is kept."""
    calls: list[tuple[Any, ...]] = []
    trained = emotions.train

    def spied(network: Any, sets: Any, settings: Any, checkpoint: Any, callbacks: Any, started_from: Any) -> Any:
        before = [np.array(weight) for weight in network.get_weights()]
        history = trained(network, sets, settings, checkpoint, callbacks, started_from)
        calls.append((sets[0], callbacks, started_from, before, network.get_weights()))
        return history

    monkeypatch.setattr(emotions, "train", spied)
    faces = write_class_folders(tmp_path / "faces", {"happy": 20, "angry": 20, "sad": 20})
    first, mine = tmp_path / "first.keras", keras.callbacks.Callback()
    train_emotions(job(faces, first))
    train_emotions(job(faces, tmp_path / "again.keras", settings=quick(seed=1)))
    changes = {"start_from": first, "kept": 0.25, "weights": {"faces": 2.0}, "settings": quick(learning_rate=3.0)}
    train_emotions(job(faces, tmp_path / "m.keras", **changes), (mine,))
    (one, _, none, fresh, _), (other, _, _, others, _), (weighed, callbacks, started_from, start, end) = calls
    assert none is None and started_from == read_card(first).sha256
    assert mine in callbacks
    assert (one.weight, weighed.weight) == (1, 2)
    assert one.validation.fingerprint() != other.validation.fingerprint()
    assert not np.array_equal(fresh[0], others[0])
    shipped = load_network(read_card(first)).get_weights()
    for known, before, after, kept in zip(shipped, start, end, networks[-1].get_weights(), strict=True):
        assert before == pytest.approx(known)
        assert kept == pytest.approx(0.25 * before + 0.75 * after, abs=1e-5)
        assert not np.allclose(before, after)
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["training"]["weights"] == {"faces": 2} and facts["training"]["kept"] == 0.25


def test_figures_before_and_after_are_of_either_model(networks: list[keras.Model], tmp_path: Path) -> None:
    """The file says how good the model was that was gone on from, and how good this one is."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 20, "angry": 20, "sad": 20})
    first = tmp_path / "first.keras"
    train_emotions(job(faces, first, settings=quick(epochs=1, learning_rate=1e-6)))
    answers = train_emotions(job(faces, tmp_path / "m.keras", start_from=first, settings=quick(learning_rate=3.0)))
    facts = json.loads((tmp_path / "m.json").read_text())
    assert facts["validation"]["faces"] == answers["faces"].figures.as_json()
    assert facts["before"]["faces"] == json.loads(first.with_suffix(".json").read_text())["validation"]["faces"]
    assert facts["before"] != facts["validation"]


def test_what_looks_on_writes_beside_the_model(tmp_path: Path) -> None:
    """A table of the epochs, TensorBoard's figures and its pictures."""
    table, figures, shown = CALLBACKS(job(tmp_path / "faces", tmp_path / "m.keras"), [])
    assert (type(table), type(figures), type(shown)) == (EpochLog, keras.callbacks.TensorBoard, TensorBoardPictures)
    assert table._csv == tmp_path / "m.csv"
    assert (Path(figures.log_dir), figures.write_graph) == (tmp_path / "m.tensorboard", False)


def test_an_earlier_trainings_files_are_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its checkpoint is kept under another name, its events go; a training that goes on touches neither."""
    output = tmp_path / "new" / "m.keras"
    checkpoint, events = output.with_suffix(".checkpoint.npz"), output.with_suffix(".tensorboard") / "train"
    assert emotions._prepare(job(tmp_path, output, resume=True)) == checkpoint
    assert caplog.messages == [f"no checkpoint at {checkpoint}: training begins with the first epoch"]
    events.mkdir(parents=True)
    (events / "events.out.tfevents.1").touch()
    checkpoint.write_bytes(b"before")
    emotions._prepare(job(tmp_path, output, resume=True))
    assert checkpoint.exists() and list(events.iterdir())
    emotions._prepare(job(tmp_path, output))
    aside = output.with_suffix(".checkpoint.previous.npz")
    assert (checkpoint.exists(), aside.read_bytes(), list(events.iterdir())) == (False, b"before", [])
    said = f"not going on from the checkpoint there was (--resume would); it is kept as {aside}"
    assert caplog.messages[1:] == [said]


def test_the_preview_shows_what_training_draws(tmp_path: Path) -> None:
    """A row an image, a column a variant, in a folder made for it."""
    faces, picture = write_class_folders(tmp_path / "faces", {"happy": 3, "angry": 2}), tmp_path / "new" / "p.png"
    emotions.preview_variants(job(faces, tmp_path / "m.keras", settings=quick(copies=3, seed=4)), picture)
    [each] = read_sets([faces])
    expected = sheet_png([each.parts["all"]], quick(copies=3, seed=4))
    assert picture.read_bytes() == expected != sheet_png([each.parts["all"]], quick(copies=3))


def test_what_does_not_go_together_is_said(tmp_path: Path) -> None:
    """Shares without votes, weights of sets that are none, and what is kept of a model of other labels."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 5, "angry": 5})
    for changes, said in (
        ({"votes_share": 0.5}, "--votes-share goes with --votes"),
        ({"kept": 0.5}, "--keep goes with --start-from a model of the same labels"),
        ({"weights": {"cats": 2.0, "dogs": 1.0}}, "--weight: expected one of the data sets faces, received cats, dogs"),
    ):
        with pytest.raises(DataError, match=said):
            train_emotions(job(faces, tmp_path / "m.keras", **changes))


def test_labels_that_no_image_has_are_told(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Where a model is gone on from that knows them."""
    known = read_card(EMOTION_MODEL)
    crops = hard_labelled(np.zeros((2, 48, 48), np.uint8), np.array([0, 6]), known.labels)
    sets = [TrainingSet("one", crops, crops)]
    with caplog.at_level("INFO", "annotate.train"):
        emotions._log_kept(sets, known)
        emotions._log_kept(sets, None)
        emotions._log_sizes(sets, 17, "cpu")
    assert caplog.messages == [
        "no image of anger, sadness, disgust, fear, surprise: what emotions.keras knows of that is kept",
        "labels: joy, anger, sadness, disgust, fear, surprise, neutral; training on cpu",
        "one: 2 images become 34 in 17 variants each",
        "one: 2 images to validate on, without variants",
    ]
