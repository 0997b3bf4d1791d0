"""The training job from start to end, on drawn faces."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_faces import draw_crops, write_class_folders
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import QUICKLY, here, kill_when, train_small_networks

from jobs.options import annotation_settings
from model.bundle import EMOTION_MODEL, load_network, read_card
from model.data.crops import hard_labelled, image_keys
from model.data.split import hold_out, split_parts
from model.inference import Classifier
from model.training.augmentation import draw, paint

LABELS = ("joy", "anger", "sadness")
OPTIONS = ("--epochs", 3, "--batch-size", 16, "--progressive")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train networks of a few numbers, for tests of what is done with them."""
    train_small_networks(monkeypatch)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree of class folders under the field's synonyms, with a damaged image in it."""
    root = tmp_path_factory.mktemp("drawn") / "faces"
    write_class_folders(root, {"happy": 24, "angry": 24, "sad": 24})
    (root / "sad" / "broken.png").write_bytes(b"no image")
    return root


@pytest.fixture(scope="module")
def model(faces: Path) -> Path:
    """The network that ships, trained without a break on crops that grow from 32 pixels to 48."""
    file = faces.parent / "out" / "mine.keras"
    trained = here("train", "emotions", faces, "-o", file, *OPTIONS[2:], "--epochs", 2)
    assert trained.returncode == 0, trained.stderr
    assert "broken.png" in trained.stderr
    assert "57 images become 969 in 17 variants" in trained.stderr  # of each 24 five are held out
    return file


def test_class_folders_to_a_model_and_its_figures(faces: Path, model: Path, tmp_path: Path) -> None:
    """A small tree of class folders becomes a model, its figures and pictures, and an evaluation."""
    card = read_card(model)
    assert set(card.labels) >= set(LABELS)
    probabilities = Classifier(card, 8).predict(draw_crops("joy", 11))
    assert probabilities.shape == (11, len(card.labels))
    assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    pictures = {file.name for file in (model.with_suffix(".figures")).iterdir()}
    assert {"confusion_matrix.png", "predictions.png", "reliability.png", "training_curves.png"} <= pictures
    assert json.loads(model.with_suffix(".json").read_text())["seed"] == 0
    events = [file.parent for file in model.with_suffix(".tensorboard").rglob("events.out.tfevents.*")]
    tags = [EventAccumulator(str(folder)).Reload().Tags() for folder in events]
    told = {name for tag in tags for name in tag["scalars"] + tag["tensors"]}
    assert {"epoch_accuracy", "epoch_mean_recall", "evaluation_mean_recall_vs_iterations"} <= told
    assert "evaluation_accuracy_vs_iterations" not in told
    assert {"accuracy", "val_mean_recall"} <= set(pd.read_csv(model.with_suffix(".csv")))
    evaluated = here("evaluate", model, faces, "-o", tmp_path / "figures", "--against", model)
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads((tmp_path / "figures" / "metrics.json").read_text())
    assert (metrics["sets"]["faces"]["images"], "held out" in evaluated.stderr) == (15, True)
    everything = here("evaluate", model, faces, "-o", tmp_path / "all", "--usage", "all")
    assert json.loads((tmp_path / "all" / "metrics.json").read_text())["sets"]["faces"]["images"] == 72
    assert "was trained on 57 of these 72 images" in everything.stderr


@pytest.mark.usefixtures("small", "untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_a_killed_training_goes_on_as_if_nothing_had_been(faces: Path, tmp_path: Path) -> None:
    """Killed after its first epoch and resumed, a training gives the weights that an uninterrupted one gives."""
    model = tmp_path / "whole.keras"
    whole = here("train", "emotions", faces, "-o", model, *OPTIONS)
    assert whole.returncode == 0, whole.stderr
    arguments = ("emotions", faces, "-o", tmp_path / "killed.keras", *OPTIONS)
    kill_when(tmp_path / "killed.checkpoint.npz", *arguments, cwd=tmp_path, first=QUICKLY)
    assert not (tmp_path / "killed.keras").exists()
    resumed = here("train", *arguments, "--resume")
    assert resumed.returncode == 0, resumed.stderr
    crops = draw_crops("anger", 5)[..., None].astype("float32")
    one, other = (load_network(read_card(file)).predict_on_batch(crops) for file in (model, tmp_path / "killed.keras"))
    assert np.allclose(one, other, atol=1e-5)


@pytest.mark.usefixtures("small", "untraced")
def test_what_people_do_with_their_own_labels(tmp_path: Path) -> None:
    """A table with classes of its own, rare ones shown more often, and a training that goes on from a model."""
    root = write_class_folders(tmp_path / "faces", {"happy": 10, "angry": 10})
    files = sorted(root.rglob("*.png"))
    rows = {"path": [str(file.relative_to(root)) for file in files], "label": ["awake", "bored"] * 10}
    table = root / "labels.csv"
    pd.DataFrame(rows).to_csv(table, index=False)
    options = ("--epochs", 1, "--batch-size", 8, "--copies", 2)
    first = here("train", "emotions", table, "--labels", "bored,awake", "-o", tmp_path / "a.keras", *options)
    assert first.returncode == 0, first.stderr
    assert read_card(tmp_path / "a.keras").labels == ("bored", "awake")
    arguments = ("train", "emotions", table, "--labels", "bored,awake", "-o", tmp_path / "b.keras", *options)
    second = here(*arguments, "--evenness", 1, "--mixed-precision", "--start-from", tmp_path / "a.keras")
    assert second.returncode == 0, second.stderr
    facts = json.loads((tmp_path / "b.json").read_text())
    assert "--start-from" in facts["command"]
    assert facts["training"]["evenness"] == 1
    taught = here(*arguments, "--teacher", tmp_path / "a.keras", "--teacher", tmp_path / "b.keras")
    assert taught.returncode == 0, taught.stderr
    learned = [
        json.loads((tmp_path / f"{name}.json").read_text())["data"]["labels"]["training_sha256"] for name in "ab"
    ]
    assert learned[0] != learned[1]
    missing = here(*arguments, "--start-from", tmp_path / "none.keras")
    assert (missing.returncode, "none.keras" in missing.stderr) == (5, True)


@pytest.mark.usefixtures("small", "untraced")
def test_crops_as_they_come_out_of_annotate(tmp_path: Path) -> None:
    """A preview wants an image; from scratch empty folders are no labels; from a model on they keep what it knows."""
    faces = write_class_folders(tmp_path / "faces", {"joy": 1, "anger": 0, "fear": 0, "no_face": 1})
    shown = here("train", "emotions", faces, "--preview", tmp_path / "variants.png", "--copies", 2)
    assert (shown.returncode, (tmp_path / "variants.png").exists()) == (0, True), shown.stderr
    write_class_folders(tmp_path / "more", {"joy": 10, "anger": 10, "fear": 0, "no_face": 1})
    options = ("--epochs", 1, "--batch-size", 8, "--copies", 1, "-o", tmp_path / "a.keras")
    done = here("train", "emotions", tmp_path / "more", *options)
    assert done.returncode == 0, done.stderr
    assert "left out of the labels, as there is no image: fear" in done.stderr
    assert read_card(tmp_path / "a.keras").labels == ("joy", "anger")
    measured = here("evaluate", tmp_path / "a.keras", tmp_path / "more", "-o", tmp_path / "figures")
    assert measured.returncode == 0, measured.stderr
    further = (*options[:-1], tmp_path / "b.keras", "--start-from", tmp_path / "a.keras")
    few = here("train", "emotions", faces, *further)
    assert few.returncode == 5
    assert "needs at least 5, or none; joy has 1. Add images, or take those few away." in few.stderr
    for file in (tmp_path / "more" / "anger").iterdir():
        file.unlink()
    kept = here("train", "emotions", tmp_path / "more", *further)
    assert kept.returncode == 0, kept.stderr
    assert "no image of anger: what a.keras knows of that is kept" in kept.stderr


def test_shipped_is_the_model_that_ships(faces: Path, tmp_path: Path) -> None:
    """Wherever a model of this kind is named: each command gets beyond it, to what else is not as expected."""
    nothing = tmp_path / "nothing"
    measured = here("evaluate", "shipped", nothing, "--against", "shipped", cwd=tmp_path)
    assert (measured.returncode, f"{nothing}: no such file or folder" in measured.stderr) == (5, True)
    taught = here("train", "emotions", faces, "--teacher", "shipped", cwd=tmp_path)
    assert (taught.returncode, "emotions.keras cannot teach: expected the labels" in taught.stderr) == (5, True)
    assert annotation_settings("photos", model="shipped").model == EMOTION_MODEL


@pytest.mark.usefixtures("small", "untraced")
def test_own_parts_are_kept(tmp_path: Path) -> None:
    """With parts of its own the model is chosen on val and nobody sees test; a data set that is none is said."""
    for part, count in (("train", 8), ("val", 4), ("test", 5)):
        write_class_folders(tmp_path / "faces" / part, {"joy": count, "sad": count}, seed=len(part) + count)
    done = here("train", "emotions", tmp_path / "faces", "-o", tmp_path / "m.keras", "--epochs", 1, "--batch-size", 8)
    assert done.returncode == 0, done.stderr
    facts = json.loads((tmp_path / "m.json").read_text())
    assert (facts["training"]["images"], facts["training"]["validation_images"]) == ({"faces": 16}, {"faces": 8})
    tested = here("evaluate", tmp_path / "m.keras", tmp_path / "faces", "--usage", "test", "-o", tmp_path / "figures")
    assert tested.returncode == 0, tested.stderr
    assert json.loads((tmp_path / "figures" / "metrics.json").read_text())["sets"]["faces"]["images"] == 10
    wrong = here("train", "emotions", tmp_path / "faces", "-o", tmp_path / "n.keras", "--weight", "others=2")
    assert (wrong.returncode, "expected one of the data sets faces" in wrong.stderr) == (5, True)


@pytest.mark.usefixtures("small", "untraced")
def test_a_checkpoint_is_not_thrown_away(faces: Path, tmp_path: Path) -> None:
    """Begun anew over the checkpoint of a killed training, the checkpoint is put aside and named."""
    (tmp_path / "m.checkpoint.npz").write_bytes(b"epochs of work")
    done = here(
        "train", "emotions", faces, "-o", tmp_path / "m.keras", "--epochs", 1, "--batch-size", 16, "--copies", 1
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "m.checkpoint.previous.npz").read_bytes() == b"epochs of work"
    assert "m.checkpoint.previous.npz" in done.stderr


@pytest.mark.parametrize(
    ("folders", "reason"),
    [({"happy": 9, "bored": 9}, "bored"), ({"happy": 9, "sad": 2}, "sadness")],
    ids=["unknown class", "too few"],
)
def test_data_that_will_not_do_is_said(folders: dict[str, int], reason: str, tmp_path: Path) -> None:
    """An unknown class folder and a class with too few images end with exit code 5 and their name."""
    done = here("train", "emotions", write_class_folders(tmp_path / "faces", folders), "-o", tmp_path / "m.keras")
    assert done.returncode == 5
    assert (reason in done.stderr, "loading Keras" in done.stderr) == (True, False)
    assert "Traceback" not in done.stderr


def test_identical_images_never_stand_on_both_sides() -> None:
    """Copies and mirror images planted everywhere end up on one side of the split, about a fifth held out."""
    joy, anger = draw_crops("joy", 40, 1), draw_crops("anger", 40, 2)
    images = np.concatenate([joy, joy[:20], joy[:20, :, ::-1], anger, anger[5:15, :, ::-1]])
    truth = np.repeat([0, 1], [80, 50])
    crops = hard_labelled(images, truth, LABELS[:2])
    inside = hold_out(crops, seed=3)
    keys = image_keys(images)
    assert not set(keys[inside]) & set(keys[~inside])
    assert 0.15 < inside.mean() < 0.25
    assert np.array_equal(inside, hold_out(crops, seed=3))


def test_what_is_evaluated_on_is_not_trained_on(tmp_path: Path) -> None:
    """With the data's own split, images of the held-out part leave the training part."""
    joy, anger = draw_crops("joy", 20, 1), draw_crops("anger", 20, 2)
    both = np.concatenate([joy, anger])
    train = hard_labelled(both, np.repeat([0, 1], 20), LABELS[:2])
    val = hard_labelled(np.concatenate([joy[:3, :, ::-1], anger[:3]]), np.repeat([0, 1], 3), LABELS[:2])
    left, validation = split_parts({"train": train, "val": val}, 0, tmp_path)
    assert (len(left), len(validation)) == (34, 6)


def test_variants_are_unique_and_can_be_drawn_again() -> None:
    """Seventeen variants of an image all differ, the first is the image, and each can be drawn again by itself."""
    image = draw_crops("joy", 1)
    variants = paint(np.repeat(image, 17, axis=0), draw(5, np.zeros(17, int), np.arange(17)))
    assert np.allclose(variants[0, ..., 0], image[0], atol=1e-2)
    assert len({variant.tobytes() for variant in variants}) == 17
    again = paint(image, draw(5, np.array([0]), np.array([11])))
    assert np.allclose(again[0], variants[11], atol=1e-3)
