"""annotate-train detector from start to end on a few photographs, and annotate with what it leaves."""

import json
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import Run, astronaut
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_runs import QUICKLY, here, kill_when, known_photographs, train_small_networks

from batch.detection.boxes import iou
from batch.detection.detect import build_detector
from batch.detection.detectors import cnn
from batch.detection.detectors.cnn import LEAST, faces_in, letterboxed
from batch.errors import DetectorError
from batch.settings import DetectorSettings
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL
from model.detector import loss as detector_loss
from model.detector import network as detector_network

QUICK = ("--window-size", 128, "--batch-size", 16, "--windows", 720, "--learning-rate", 0.004)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a detector was trained on four photographs of one astronaut."""
    folder = tmp_path_factory.mktemp("detector")
    boxes = known_photographs(folder / "photos")
    done = here("train", "detector", "photos", "--boxes", boxes, *QUICK, "--epochs", 4, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "wrote detector.keras: on 1 photograph held out it finds 1.00 of 1 face with" in done.stderr
    return folder


def test_what_a_training_leaves(trained: Path) -> None:
    """Two files of the same network, figures, a row per epoch, four pictures, TensorBoard's events."""
    facts = json.loads((trained / "detector.json").read_text())
    assert facts["validation"]["faces"] == facts["validation"]["photographs"] == 1
    assert facts["validation"]["recall"] == 1
    assert facts["command"].startswith("annotate-train detector photos")
    assert len(pd.read_csv(trained / "detector.csv")) == 4
    assert {file.stem for file in (trained / "detector").glob("*.png")} == {
        "precision-recall",
        "recall-by-size",
        "false-positives",
        "misses",
    }
    events = EventAccumulator(str(trained / "detector.tensorboard" / "train")).Reload()
    assert "epoch_loss" in events.Tags()["scalars"] + events.Tags()["tensors"]
    assert not list(trained.glob("*checkpoint*"))
    size = (trained / "detector.keras").stat().st_size + (trained / "detector.onnx").stat().st_size
    assert size < 2_500_000


def test_keras_and_opencv_find_the_same_boxes(trained: Path) -> None:
    """Within a pixel, at every shape that images are padded to."""
    network = keras.saving.load_model(trained / "detector.keras")
    detector = build_detector(DetectorSettings("cnn", model=trained / "detector.onnx"))
    found = 0
    for size in ((320, 320), (420, 300), (300, 410), (640, 200)):
        canvas = Image.new("L", size, 90)
        canvas.paste(astronaut().convert("L").resize((300, 300)), (0, 0))
        gray = np.asarray(canvas)
        maps = network.predict(letterboxed(gray)[None, ..., None].astype("f4"), verbose=0)
        boxes, scores = faces_in([m[0] for m in maps], LEAST)
        inside = (boxes[:, :2] + boxes[:, 2:] / 2 <= size).all(axis=1)  # not in what pads the image
        boxes, scores = boxes[inside], scores[inside]
        theirs, their_scores = detector.look(gray)
        assert len(theirs) == len(boxes)
        found += len(boxes)
        assert their_scores == pytest.approx(scores, abs=1e-3)
        assert theirs == pytest.approx(boxes, abs=1)
    assert found >= 4


@pytest.mark.parametrize("side", [40, 150, 320])
def test_what_ships_finds_small_and_large_faces(side: int) -> None:
    """A face is found in its place whether it is a sixteenth or half of the image."""
    detector = build_detector(DetectorSettings("cnn", model=DETECTOR_MODEL))
    scale = side / 110
    face = astronaut().convert("L").crop((130, 20, 320, 210)).resize((round(190 * scale), round(190 * scale)))
    canvas = Image.new("L", (640, 640), 127)
    canvas.paste(face, (0, 0))
    boxes, scores = detector.detect(np.asarray(canvas))
    assert scores[0] > 0.7
    truth = np.array([[40.0, 45.0, 110.0, 110.0]]) * scale  # by eye
    assert iou(truth, boxes[:1]).max() > 0.5


def test_the_onnx_file_that_ships_is_the_keras_file_that_ships() -> None:
    """Within a pixel on a photograph."""
    network = keras.saving.load_model(DETECTOR_MODEL.with_suffix(".keras"))
    detector = build_detector(DetectorSettings("cnn", model=DETECTOR_MODEL))
    gray = np.asarray(astronaut().convert("L"))
    boxes, scores = faces_in(
        [m[0] for m in network.predict(letterboxed(gray)[None, ..., None].astype("f4"), verbose=0)], LEAST
    )
    theirs, their_scores = detector.look(gray)
    assert len(boxes) >= 1
    assert their_scores == pytest.approx(scores, abs=1e-3)
    assert theirs == pytest.approx(boxes, abs=1)


def test_annotate_finds_the_face(trained: Path, command: Run, tmp_path: Path) -> None:
    """In its place, on an image shrunk so that the face is as large as those in the windows trained on."""
    (tmp_path / "in").mkdir()
    astronaut().save(tmp_path / "in" / "astronaut.png")
    model = trained / "detector.onnx"
    options = ("--detector", "cnn", "--detector-model", model, "--detect-size", 320, "--face-threshold", 0.1)
    done = command(tmp_path / "in", "-o", tmp_path / "out", "-j", 1, *options)
    assert done.returncode == 0, done.stderr
    faces = pd.read_parquet(tmp_path / "out" / "faces.parquet")
    best = faces.sort_values("face_score").iloc[-1]
    assert abs(best["x"] + best["width"] / 2 - 225) < 30
    assert abs(best["y"] + best["height"] / 2 - 120) < 30
    assert json.loads((tmp_path / "out" / "run.json").read_text())["identity"]["detector"]["name"] == "cnn"


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_a_training_goes_on_from_a_model(trained: Path) -> None:
    """It is as good after a short epoch as what it began with, and has looked for the mistakes of that one."""
    boxes, more = trained / "photos" / "boxes.json", ("-o", "further.keras", "--learning-rate", 1e-5)
    few = ("--window-size", 64, "--batch-size", 16, "--windows", 32, "--epochs", 1)
    arguments = ("train", "detector", "photos", "--boxes", boxes, *few)
    done = here(*arguments, *more, "--start-from", "shipped", cwd=trained)
    assert done.returncode == 0, done.stderr
    assert "detector.keras mistakes for faces" in done.stderr
    assert json.loads((trained / "further.json").read_text())["validation"]["recall"] == 1
    refused = here(*arguments, "--start-from", EMOTION_MODEL, cwd=trained)
    assert refused.returncode == 5
    assert "not one of this network's" in refused.stderr


def test_missing_or_wrong_file(tmp_path: Path) -> None:
    """The message names the command that makes such files."""
    (tmp_path / "wrong.onnx").write_bytes(b"this is no model")
    for file in (None, tmp_path / "none.onnx", tmp_path / "wrong.onnx"):
        with pytest.raises(DetectorError, match="annotate-train detector"):
            build_detector(DetectorSettings("cnn", model=file))


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_resume_goes_on_after_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --resume and the same options only what is missing is trained; with others the command refuses."""
    train_small_networks(monkeypatch)
    boxes = known_photographs(tmp_path / "photos")
    arguments = ("detector", "photos", "--boxes", boxes, "--window-size", 64, "--batch-size", 4, "--windows", 8)
    kill_when(tmp_path / "detector.checkpoint.npz", *arguments, "--epochs", 2, cwd=tmp_path, first=QUICKLY)
    assert not (tmp_path / "detector.keras").exists()
    refused = here("train", *arguments, "--epochs", 3, "--resume", cwd=tmp_path)
    assert refused.returncode == 5
    assert "epochs was 2 and is 3" in refused.stderr
    done = here("train", *arguments, "--epochs", 2, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in done.stderr
    assert "epoch 1/2" not in done.stderr
    assert len(pd.read_csv(tmp_path / "detector.csv")) == 2


def test_batch_and_model_agree_on_what_they_cannot_share() -> None:
    """Strides and kinds are written down on both sides, as neither may know the other."""
    from jobs.training import windows

    assert cnn.STRIDES == detector_network.STRIDES
    assert (windows.FACE, windows.IGNORED) == (detector_loss.FACE, detector_loss.IGNORED)
