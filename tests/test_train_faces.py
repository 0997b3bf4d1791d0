"""Training the verifier, end to end on a few drawn photographs."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import astronaut
from training_runs import QUICKLY, here, kill_when, known_photographs, train_small_networks

from batch.detection.detectors.cascade import Cascade
from model.bundle import EMOTION_MODEL, load_network, read_card

ARGUMENTS = ("faces", "photos", "--boxes", "photos/boxes.json", "--epochs", 2, "--batch-size", 32)
FURTHER = ("--start-from", "shipped", "--learning-rate", 0.001)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the verifier that ships was trained further without a break."""
    folder = tmp_path_factory.mktemp("verifier")
    known_photographs(folder / "photos", 12)
    done = here("train", *ARGUMENTS, *FURTHER, cwd=folder)
    assert (done.returncode, "proposing" in done.stderr) == (0, True), done.stderr
    assert "wrote faces.keras: on 2 photographs held out it finds 1.00 of 2 faces" in done.stderr
    return folder


def test_training_leaves_a_model_and_its_pictures(trained: Path) -> None:
    """A model that loads, its figures and command, four pictures, and nothing else."""
    card = read_card(trained / "faces.keras")
    assert load_network(card).output_shape == (None, 2)
    facts = json.loads((trained / "faces.json").read_text())
    assert facts["validation"]["faces"] == facts["validation"]["photographs"] == 2
    assert facts["command"].startswith("annotate-train faces photos")
    assert "--start-from shipped" in facts["command"]
    pictures = {file.stem for file in (trained / "faces").glob("*.png")}
    assert pictures == {"precision-recall", "recall-by-size", "false-positives", "misses"}
    assert list(trained.glob("*.npz")) == []
    assert 0 < facts["glance"]["share_that_passes"] <= 1
    gray = np.asarray(astronaut().convert("L"))
    few, every = (Cascade(file).detect(gray)[0].tolist() for file in (trained / "faces.glance.onnx", None))
    assert len(few) < len(every) and all(box in every for box in few)
    assert (card.onnx, facts["onnx"]["largest_difference"] < 1e-4) == (trained / "faces.onnx", True)


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_a_killed_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after its first epoch and resumed, a training proposes nothing anew and ends as if never killed."""
    train_small_networks(monkeypatch)
    known_photographs(tmp_path / "photos", 5)
    whole = here("train", *ARGUMENTS, "-o", "whole.keras", cwd=tmp_path)
    assert (whole.returncode, "proposing" in whole.stderr) == (0, True), whole.stderr
    arguments = (*ARGUMENTS, "-o", "killed.keras")
    kill_when(tmp_path / "killed.checkpoint.npz", *arguments, cwd=tmp_path, first=QUICKLY)
    assert not (tmp_path / "killed.keras").exists()
    resumed = here("train", *arguments, "--resume", cwd=tmp_path)
    assert (resumed.returncode, "proposing" in resumed.stderr) == (0, False), resumed.stderr
    crops = np.random.default_rng(0).integers(0, 256, (5, 48, 48, 1)).astype("float32")
    one, other = (
        load_network(read_card(tmp_path / file)).predict_on_batch(crops) for file in ("whole.keras", "killed.keras")
    )
    assert one == pytest.approx(other, abs=1e-5)


def test_missing_photographs_and_wrong_networks(tmp_path: Path) -> None:
    """Photographs that are not there, or another network to go on from, end with exit 5 and the reason."""
    boxes = known_photographs(tmp_path / "photos")
    done = here("train", "faces", tmp_path, "--boxes", boxes, cwd=tmp_path)
    assert done.returncode == 5
    assert "boxes.json names 0.jpg and 4 more, and no such photograph" in done.stderr
    refused = here("train", "faces", tmp_path / "photos", "--boxes", boxes, "--start-from", EMOTION_MODEL, cwd=tmp_path)
    assert (refused.returncode, "not one of this network's" in refused.stderr) == (5, True)
