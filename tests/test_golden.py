"""The rows are those that they have always been.

``golden.csv`` has the faces and emotions as they were when their detector last changed. Before that those of the
``cascade`` were what the networks of their day made of the windows of revision 5ffb6ef.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
from conftest import annotate_here, assert_same_tables, tables
from PIL import Image
from sklearn.datasets import load_sample_images

from batch.settings import DetectorSettings, WorkerSettings
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, GLANCE_MODEL, read_card

GOLDEN = Path(__file__).with_name("golden.csv")
EMOTIONS_OF = "f7b16775bb1782d2fe0f5f91685dc612400af9871439c083a2ceaa03e280bb09"
"""SHA-256 of the emotion model that told the golden emotions; another one has other opinions of the same faces."""


def write_photographs(folder: Path) -> None:
    """What ships with scikit-image and scikit-learn, losslessly, and some of it mirrored, enlarged and side by side."""
    folder.mkdir()
    face, (china, flower) = skimage.data.astronaut(), load_sample_images().images
    beside = np.concatenate([face, skimage.data.chelsea()[:300, :451].repeat(2, axis=0)[:512], face[:, ::-1]], axis=1)
    pictures = {
        "astronaut": face,
        "beside": beside,
        "china": china,
        "dark": face // 3,
        "flower": flower,
        "large": face.repeat(6, axis=0).repeat(6, axis=1),
        "mirrored": face[:, ::-1],
        "small": face[::3, ::3],
    }
    for name, pixels in pictures.items():
        Image.fromarray(np.ascontiguousarray(pixels)).save(folder / f"{name}.png")


@pytest.mark.parametrize("detector", ["cascade", "cnn"])
def test_rows_are_the_golden_ones(detector: str, tmp_path: Path) -> None:
    """The same faces in the same places, scores and probabilities within 1e-4."""
    write_photographs(tmp_path / "photos")
    worker = WorkerSettings(DetectorSettings(detector, model=DETECTOR_MODEL, glance=GLANCE_MODEL))
    annotate_here(tmp_path / "photos", tmp_path / "out", worker=worker)
    faces = tables(tmp_path / "out")[1].drop(columns="root").astype({"emotion": str})
    expected = pd.read_csv(GOLDEN).query("detector == @detector").drop(columns="detector").reset_index(drop=True)
    assert len(expected) >= 6
    if read_card(EMOTION_MODEL).sha256 != EMOTIONS_OF:
        expected = expected[["path", "face", "x", "y", "width", "height", "face_score"]]
    pd.testing.assert_frame_equal(faces[list(expected)], expected, atol=1e-4, rtol=0, check_dtype=False)


def test_keras_gives_the_same_rows(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verified and labelled by Keras in one process, as on a GPU, faces are what the workers make of them."""
    annotate_here(photos, tmp_path / "workers", without_neutral=True)
    monkeypatch.setattr("jobs.annotation.workers.worker_networks", lambda _: None)
    annotate_here(photos, tmp_path / "keras", without_neutral=True)
    assert len(tables(tmp_path / "keras")[1]) == 2
    assert_same_tables(tmp_path / "workers", tmp_path / "keras", tolerance=1e-4)
