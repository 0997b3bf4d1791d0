"""The exported detector gives what Keras gives."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from batch.detection.networks import OnnxFile
from model import export
from model.bundle import EMOTION_MODEL
from model.detector.export import export_maps
from model.detector.network import STRIDES, detector_network, inference_detector
from model.errors import ModelError
from model.export import export_onnx
from model.labels import EMOTIONS


@pytest.fixture
def network() -> keras.Model:
    """A detector with drawn weights, as if trained: no two layers alike."""
    keras.utils.set_random_seed(3)
    network = detector_network(64)
    rng = np.random.default_rng(3)
    network.set_weights([weight + rng.uniform(0, 0.1, weight.shape).astype("f4") for weight in network.get_weights()])
    return inference_detector(network, slope=1.5, intercept=-0.5)


def test_onnx_runtime_gives_keras_answers_at_every_shape(network: keras.Model, tmp_path: Path) -> None:
    export_maps(network, tmp_path / "detector.onnx")
    exported = OnnxFile(tmp_path / "detector.onnx")
    for height, width in ((96, 128), (160, 64), (96, 128)):
        pixels = np.random.default_rng(height).integers(0, 256, (1, height, width, 1)).astype("f4")
        theirs = exported.run(pixels.transpose(0, 3, 1, 2), [f"stride_{stride}" for stride in STRIDES])
        for ours, other, stride in zip(network.predict(pixels, verbose=0), theirs, STRIDES, strict=True):
            assert ours.shape == (1, height // stride, width // stride, 5)
            assert np.ptp(ours) > 0.1
            np.testing.assert_allclose(other.transpose(0, 2, 3, 1), ours, rtol=1e-3, atol=1e-3)


def test_a_layer_without_translation_is_an_error(tmp_path: Path) -> None:
    pixels = keras.Input((8, 8, 1))
    network = keras.Model(pixels, layers.MaxPooling2D(name="pool")(pixels))
    with pytest.raises(ModelError, match="pool: a layer MaxPooling2D"):
        export_maps(network, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_other_answers_than_keras_gives_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Beyond one in ten thousand; nothing is written then."""
    differences = iter([2e-4, np.nan, 5e-5])
    monkeypatch.setattr(export, "_exported", lambda *_: (b"onnx", next(differences)))
    crops = np.zeros((1, 48, 48), np.uint8)
    for _ in range(2):
        with pytest.raises(ModelError, match="as ONNX differs by"):
            export_onnx(EMOTION_MODEL, EMOTIONS, tmp_path / "x.onnx", crops)
    assert not list(tmp_path.iterdir())
    assert export_onnx(EMOTION_MODEL, EMOTIONS, tmp_path / "x.onnx", crops)["largest_difference"] == 5e-5
    assert (tmp_path / "x.onnx").read_bytes() == b"onnx"


def test_no_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever asked can do without the ONNX file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ModelError, match=r"cannot be written as ONNX: .*No such file or directory"):
        export_onnx(EMOTION_MODEL, EMOTIONS, tmp_path / "x.onnx", np.zeros((1, 48, 48), np.uint8))
