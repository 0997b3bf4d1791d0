"""Faces that are faces: the detectors that ship, and the verifier, on real photographs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from conftest import annotate_here, assert_same_tables, astronaut, tables
from PIL import Image
from sklearn.datasets import load_sample_image

from batch.detection.boxes import iou
from batch.settings import DetectorSettings, WorkerSettings
from model.bundle import DETECTOR_MODEL, GLANCE_MODEL

FACE = np.array([[170, 65, 110, 110]])  # where the astronaut's face is, by eye


@pytest.mark.parametrize("name", ["cascade", "cnn"])
@pytest.mark.parametrize("detect_size", [480, 640, 960])
def test_no_face_where_there_is_none(name: str, detect_size: int, tmp_path: Path) -> None:
    """Photographs without people have no faces, with fast, default and thorough settings."""
    (tmp_path / "photos").mkdir()
    for thing in ("cat", "coffee", "brick"):
        Image.fromarray(getattr(skimage.data, thing)()).save(tmp_path / "photos" / f"{thing}.png")
    for thing in ("china.jpg", "flower.jpg"):
        Image.fromarray(load_sample_image(thing)).save(tmp_path / "photos" / thing)
    worker = WorkerSettings(DetectorSettings(name, detect_size, model=DETECTOR_MODEL, glance=GLANCE_MODEL))
    annotate_here(tmp_path / "photos", tmp_path / "out", worker=worker)
    images, faces = tables(tmp_path / "out")
    assert (images["status"] == "no_face").all()
    assert len(faces) == 0


@pytest.mark.parametrize("name", ["cascade", "cnn"])
@pytest.mark.parametrize("scale", [0.5, 1, 4])
def test_one_face_where_there_is_one(name: str, scale: float, tmp_path: Path) -> None:
    """The astronaut's face is found once, where it is, at any size of the photograph."""
    (tmp_path / "photos").mkdir()
    size = round(512 * scale)
    astronaut().resize((size, size)).save(tmp_path / "photos" / "a.jpg", quality=92)
    worker = WorkerSettings(DetectorSettings(name, model=DETECTOR_MODEL, glance=GLANCE_MODEL))
    annotate_here(tmp_path / "photos", tmp_path / "out", worker=worker)
    _, faces = tables(tmp_path / "out")
    boxes = faces[["x", "y", "width", "height"]].to_numpy()
    assert len(faces) == 1
    assert iou(FACE * scale, boxes).max() > 0.5
    assert faces["face_score"].iloc[0] > 0.9


@pytest.mark.parametrize("detector", ["cascade", "cnn"])
def test_rows_do_not_depend_on_workers_or_batches(detector: str, shared_data: Path, tmp_path: Path) -> None:
    """Real photographs give the same rows with one worker or two, and with any batch size."""
    root = tmp_path / "photos"
    root.mkdir()
    for number, file in enumerate(sorted((shared_data / "photos").rglob("*.jpg"))[:12]):
        shutil.copy(file, root / f"{number:02}.jpg")
    worker = WorkerSettings(DetectorSettings(detector, model=DETECTOR_MODEL, glance=GLANCE_MODEL))
    for name, changes in {"one": {}, "two": {"jobs": 2, "batch_size": 7}, "three": {"batch_size": 1}}.items():
        annotate_here(root, tmp_path / name, worker=worker, **changes)
    assert len(tables(tmp_path / "one")[1]) > 5
    assert_same_tables(tmp_path / "one", tmp_path / "two")
    assert_same_tables(tmp_path / "one", tmp_path / "three")
