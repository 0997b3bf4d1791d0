"""The glance at a cascade's windows: what it sees, and that it costs no face."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import annotate_here, astronaut, tables

from batch.detection.boxes import iou
from batch.detection.crop import CONTEXT
from batch.detection.detectors.cascade import Cascade
from batch.detection.glance import GLANCE_SIZE, Glance, cells, standardised
from batch.detection.networks import OnnxFile
from batch.errors import DetectorError
from batch.settings import DetectorSettings, WorkerSettings
from model.bundle import GLANCE_MODEL
from model.detector.export import export_maps
from model.glance import network as glance_net
from model.glance import training as glance_training
from model.glance.network import glance_network
from model.glance.training import glance_logits, lower_by, train_glance
from model.layers import without_normalisation

FACE = np.array([[170, 65, 110, 110]])  # where the astronaut's face is, by eye


def test_cells_are_means_of_the_window_and_its_surroundings() -> None:
    """On a ramp, every cell has the level of its middle; a window of any size has the same number of cells."""
    gray = np.tile(np.arange(200, dtype=np.uint8), (200, 1))
    for side in (20, 33, 80):
        (patch,) = cells(gray, np.array([[100 - side / 2, 100 - side / 2, side, side]]))
        width = side * CONTEXT / GLANCE_SIZE
        middles = 100 + width * (np.arange(GLANCE_SIZE) - (GLANCE_SIZE - 1) / 2) - 0.5
        assert patch.shape == (GLANCE_SIZE, GLANCE_SIZE)
        assert np.abs(patch - middles).max() <= 1


def test_what_lies_beyond_the_border_repeats_it() -> None:
    """A window in the corner sees the border's pixels over and over."""
    gray = np.full((60, 60), 50, np.uint8)
    gray[:, 0] = 200
    (patch,) = cells(gray, np.array([[0, 20, 20, 20]]))
    assert (patch[:, :3] == 200).all()
    assert (patch[:, -10:] == 50).all()


def test_a_window_is_likely_whose_logit_is_more_than_zero() -> None:
    """Zero itself, and what is a little less, is not."""

    class Told:
        def run(self, patches: np.ndarray) -> list[np.ndarray]:
            assert patches.shape == (4, 1, GLANCE_SIZE, GLANCE_SIZE)
            return [np.array([-0.5, 0, 0.01, 3])[:, None]]

    glance = object.__new__(Glance)
    glance._network = Told()
    windows = np.array([[10.0 * number, 10, 20, 20] for number in range(4)])
    assert glance.likely(np.zeros((60, 60), np.uint8), windows).tolist() == [False, False, True, True]


def test_no_windows_and_no_contrast() -> None:
    """Nothing to glance at is no error, and a uniform window is no division by zero."""
    assert Glance(GLANCE_MODEL).likely(np.zeros((50, 50), np.uint8), np.empty((0, 4))).shape == (0,)
    assert (standardised(np.full((1, GLANCE_SIZE, GLANCE_SIZE), 7, np.uint8)) == 0).all()


def test_most_windows_go_and_the_face_stays() -> None:
    """Of what the cascade proposes in a real photograph, most goes, and the face does not."""
    gray = np.asarray(astronaut().convert("L"))
    every, few = (Cascade(file).detect(gray)[0] for file in (None, GLANCE_MODEL))
    assert len(few) < len(every) / 2
    assert iou(FACE, few).max() == iou(FACE, every).max()


def test_faces_are_the_same_as_without_it(shared_data: Path, tmp_path: Path) -> None:
    """In real photographs, the verifier finds with the glance what it finds without."""
    for name, model in (("with", GLANCE_MODEL), ("without", None)):
        annotate_here(shared_data / "photos", tmp_path / name, worker=WorkerSettings(DetectorSettings(glance=model)))
    faces, every = tables(tmp_path / "with")[1], tables(tmp_path / "without")[1]
    assert len(every) > 100
    assert len(every) - 2 <= len(faces) <= len(every)


def test_a_tiny_network_learns_what_the_verifier_says(tmp_path: Path) -> None:
    """Trained on patches of which half have a bright middle, it passes those; ONNX Runtime gives what Keras gives."""
    assert glance_net.GLANCE_SIZE == GLANCE_SIZE
    rng = np.random.default_rng(0)
    patches = rng.integers(0, 100, (2048, GLANCE_SIZE, GLANCE_SIZE)).astype(np.uint8)
    faceness = (np.arange(2048) % 2).astype("float32")
    patches[1::2, 6:14, 6:14] += 80
    network = train_glance(standardised(patches[:1024]), faceness[:1024], seed=0)
    lower_by(network, float(np.median(glance_logits(network, standardised(patches)))))
    export_maps(network, tmp_path / "glance.onnx")
    [exported] = OnnxFile(tmp_path / "glance.onnx").run(standardised(patches[1024:])[:, None])
    logits = glance_logits(network, standardised(patches[1024:]))
    np.testing.assert_allclose(exported.reshape(-1), logits, atol=1e-3)
    assert ((logits > 0) == (faceness[1024:] == 1)).mean() > 0.99


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_likely_windows_count_a_quarter_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sees nothing and answers the so weighted mean of what the verifier says stays where it is."""
    faceness = np.repeat([1.0, 0.05, 0.04], [48, 48, 416]).astype("float32")
    mean = (0.25 * 0.525 + 0.04) / 1.25
    patches = keras.Input((GLANCE_SIZE, GLANCE_SIZE, 1))
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Rescaling(0.0)(patches))
    head = keras.layers.Conv2D(1, 1, bias_initializer=keras.initializers.Constant(np.log(mean / (1 - mean))))
    monkeypatch.setattr(glance_training, "glance_network", lambda: keras.Model(patches, head(pooled)))
    before = np.log(mean / (1 - mean))
    network = train_glance(np.ones((512, GLANCE_SIZE, GLANCE_SIZE), "float32"), faceness, seed=0)
    assert network.get_weights()[1] == pytest.approx(before, abs=0.004)
    network = train_glance(np.ones((512, GLANCE_SIZE, GLANCE_SIZE), "float32"), np.zeros(512, "float32"), seed=0)
    assert network.get_weights()[1] < before - 0.02, "with nothing likely it moves towards nothing"


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_left_and_right_are_alike_and_top_and_bottom_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that is linear in the pixels learns that faces are bright above, but not that they are on the left."""
    monkeypatch.setattr(glance_training, "_EPOCHS", 4)
    patches = keras.Input((GLANCE_SIZE, GLANCE_SIZE, 1))
    faceness = (np.arange(128) % 2).astype("float32")
    above = np.zeros((128, GLANCE_SIZE, GLANCE_SIZE), "float32")
    above[0::2, 10:], above[1::2, :10] = 1, 1

    def learnt(seen: np.ndarray) -> float:
        head = keras.layers.Conv2D(1, GLANCE_SIZE, kernel_initializer="zeros")
        monkeypatch.setattr(glance_training, "glance_network", lambda: keras.Model(patches, head(patches)))
        logits = glance_logits(train_glance(seen, faceness, seed=0), seen)
        return float(logits[1] - logits[0])

    upright, sideways = learnt(above), learnt(above.transpose(0, 2, 1))
    assert upright > 2
    assert abs(sideways) < upright / 10


def test_its_size() -> None:
    """A glance costs a seventieth of the verifier's look."""
    network = without_normalisation(glance_network())
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    work = sum(int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3])) for layer in convolutions)
    assert network.count_params() < 31_000
    assert work < 8.2e6 / 65


def test_a_file_that_is_no_network(tmp_path: Path) -> None:
    """Another file in its place is an error that says what belongs there."""
    (tmp_path / "x.onnx").write_bytes(b"no network")
    with pytest.raises(DetectorError, match=r"x.onnx is not what annotate-train faces writes"):
        Glance(tmp_path / "x.onnx")
