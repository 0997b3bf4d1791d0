"""The networks that ship, on each of Keras' backends that is installed: ``make backends`` installs JAX's CPU build."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from drawn_faces import draw_crops

from batch.detection.networks import onnx_classifier
from model.bundle import EMOTION_MODEL, FACE_MODEL

ANSWERS = """
import sys
from pathlib import Path
import numpy as np
from model.device import choose_device
assert choose_device("cpu") == "cpu"
import keras
from model.bundle import read_card
from model.inference import Classifier
assert keras.backend.backend() == sys.argv[1]
crops = np.load("crops.npy")
for model in sys.argv[2:]:
    np.save(Path(model).stem, Classifier(read_card(Path(model)), 4).predict(crops))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_give_the_answers_of_the_workers(backend: str, tmp_path: Path) -> None:
    """With KERAS_BACKEND set, the two CNNs give within 1e-4 what ONNX Runtime gives in a worker."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    crops = draw_crops("joy", 6)
    np.save(tmp_path / "crops.npy", crops)
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ANSWERS, backend, EMOTION_MODEL, FACE_MODEL]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for model in (EMOTION_MODEL, FACE_MODEL):
        expected = onnx_classifier(model.with_suffix(".onnx"))(crops)
        assert np.load(tmp_path / f"{model.stem}.npy") == pytest.approx(expected, abs=1e-4)
