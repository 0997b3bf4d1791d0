"""The detector's size, and that what ships answers as what was trained."""

import keras
import numpy as np
from conftest import multiply_adds
from scipy.special import expit

from model.bundle import DETECTOR_MODEL, load_keras_file
from model.detector.network import STRIDES, detector_network, flattened, inference_detector
from model.layers import without_normalisation


def test_small_enough() -> None:
    """At most 0.4 M parameters, and 0.5 G multiply-adds for 640 x 480 pixels."""
    network = detector_network(640)
    assert 150_000 < network.count_params() < 400_000
    assert 0.2e9 < multiply_adds(network) * 480 / 640 < 0.5e9


def test_what_ships_answers_as_what_was_trained() -> None:
    """Without batch normalisation, in float32, at any size; and a calibrated score changes as told."""
    keras.utils.set_random_seed(1)
    trained = detector_network(64)
    rng = np.random.default_rng(1)
    trained.set_weights([weight + rng.uniform(0, 0.1, weight.shape).astype("f4") for weight in trained.get_weights()])
    pixels = rng.integers(0, 256, (2, 64, 64, 1)).astype("f4")
    expected = trained.predict(pixels, verbose=0)
    plain, calibrated = inference_detector(trained), inference_detector(trained, slope=2.0, intercept=-1.0)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in plain.layers)
    for before, after, scaled in zip(
        expected, plain.predict(pixels, verbose=0), calibrated.predict(pixels, verbose=0), strict=True
    ):
        np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scaled[..., 0], 2 * before[..., 0] - 1, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(scaled[..., 1:], before[..., 1:], rtol=1e-3, atol=1e-3)
    assert [m.shape[1:3] for m in plain.predict(np.zeros((1, 96, 160, 1)), verbose=0)] == [(12, 20), (6, 10), (3, 5)]


def test_what_ships_is_what_is_built() -> None:
    """Given the weights that ship the network answers as what ships."""
    shipped, network = load_keras_file(DETECTOR_MODEL.with_suffix(".keras")), without_normalisation(detector_network())
    network.set_weights(shipped.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 1)).astype("f4")
    for ours, theirs in zip(network(pixels), shipped(pixels), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_score_begins_as_rare_as_faces_are() -> None:
    """One place of a hundred holds a face, says each raster of a network that has learnt nothing."""
    network = detector_network(64)
    biases = [network.get_layer(f"score_{stride}").get_weights()[1] for stride in STRIDES]
    np.testing.assert_allclose(expit(biases), np.full((3, 1), 0.01), rtol=1e-5)


def test_places_are_in_the_order_of_the_loss() -> None:
    """Finest raster first, row by row."""
    network = detector_network(64)
    maps = network.predict(np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 1)).astype("f4"), verbose=0)
    row = np.asarray(flattened(maps))
    assert row.shape == (1, sum((64 // stride) ** 2 for stride in STRIDES), 5)
    np.testing.assert_allclose(row[0, 8 + 3], maps[0][0, 1, 3], rtol=1e-6)
    np.testing.assert_allclose(row[0, -1], maps[2][0, -1, -1], rtol=1e-6)
