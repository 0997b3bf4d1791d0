"""The verifier: its network, its calibration, its crops."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import astronaut, multiply_adds

from batch.detection.crop import crop_faces
from batch.detection.verification import average_log_odds
from model.bundle import FACE_MODEL, load_network, read_card
from model.verifier.network import FACE_LABELS, calibrated_network, verifier_network
from model.verifier.training import face_crops, face_margins, platt_scaling, tight_faces, without_surroundings


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 48, 48)).astype(np.uint8)


def test_calibration_is_folded_into_the_weights() -> None:
    """Both looks of the network that ships give the sigmoid of slope x margin + intercept."""
    keras.utils.set_random_seed(0)
    trained, crops = verifier_network(), noise(6)
    expected = 1 / (1 + np.exp(-(1.7 * face_margins(trained, crops) - 0.3)))
    shipped = calibrated_network(trained, 1.7, -0.3)
    looks = [np.asarray(shipped(view[..., None].astype("float32")))[:, 1] for view in (crops, crops[:, :, ::-1])]
    assert average_log_odds(*looks, 1) == pytest.approx(expected, abs=1e-4)
    assert np.ptp(expected) > 0.01


def test_network_is_small(tmp_path: Path) -> None:
    """At most 10 million multiply-adds for a crop and a file of at most a megabyte."""
    network = verifier_network()
    assert 1e6 < multiply_adds(network) < 10e6
    assert FACE_MODEL.stat().st_size < 1_000_000


def test_shipped_labels() -> None:
    """The probability of a face is the second column, as the job expects."""
    assert read_card(FACE_MODEL).labels == FACE_LABELS


def test_exposure_does_not_matter() -> None:
    """A darker photograph with less contrast gives the same answer: preprocessing is inside the network."""
    gray = np.asarray(astronaut().convert("L"))
    faces = crop_faces(gray, np.array([[145 + 10 * i, 40 + 10 * i, 160, 160] for i in range(4)]))
    network, pixels = load_network(read_card(FACE_MODEL)), faces[..., None].astype("float32")
    darker = np.asarray(network(pixels * 0.4 + 20))
    assert darker == pytest.approx(np.asarray(network(pixels)), abs=1e-2)
    assert np.ptp(darker[:, 1]) > 0.1


def test_platt_scaling_finds_the_probabilities() -> None:
    """Slope and intercept are those that the labels were drawn with; separable ones do not run away."""
    rng = np.random.default_rng(0)
    margins = rng.normal(0, 3, 20_000)
    is_face = rng.random(20_000) < 1 / (1 + np.exp(-(0.6 * margins - 1)))
    assert platt_scaling(margins, is_face) == pytest.approx((0.6, -1), abs=0.06)
    assert np.isfinite(platt_scaling(np.array([-2.0, -1, 1, 2]), np.array([False, False, True, True]))).all()


def test_crops_without_surroundings() -> None:
    """The middle stays, its border is repeated; a face that came alone is shrunk into the middle."""
    crops = noise(2)
    bare = without_surroundings(crops, 4 / 3)
    assert np.array_equal(bare[:, 6:-6, 6:-6], crops[:, 6:-6, 6:-6])
    assert (bare[:, :6, 20] == crops[:, 6:7, 20]).all()
    tight = tight_faces(np.full((1, 48, 48), 90, np.uint8), 4 / 3)
    assert (tight.shape, tight.dtype, set(tight.ravel().tolist())) == ((1, 48, 48), np.uint8, {90})


def test_labels_weigh_the_same() -> None:
    """However rare, the faces count as much as the rest."""
    crops = face_crops(noise(10), (np.arange(10) < 2).astype(float))
    weights, targets = crops.weights["face"], crops.targets["face"]
    assert (weights @ targets).tolist() == pytest.approx([5, 5])
    assert targets[0].tolist() == [0, 1]
