"""The emotion CNN: its size, what becomes of it when it ships, and how a training goes on from one."""

import keras
import numpy as np
import pytest
from conftest import multiply_adds
from drawn_faces import draw_crops
from scipy.special import softmax

from model.bundle import EMOTION_MODEL, load_network, read_card
from model.emotions.network import inference_network, start_from, training_network
from model.errors import TrainingError
from model.layers import SHRINK, Shrink, without_normalisation

HEAD = "emotion"


def pixels() -> np.ndarray:
    return np.concatenate([draw_crops("joy", 6, 1), draw_crops("anger", 6, 2)])[..., None].astype("float32")


@pytest.fixture(scope="module")
def trained() -> keras.Model:
    """A network whose normalisations have seen data, with large logits."""
    keras.utils.set_random_seed(0)
    network = training_network([HEAD], 7)
    for _ in range(20):
        network(pixels(), training=True)
    head = network.get_layer(HEAD)
    head.set_weights([30 * head.get_weights()[0], np.linspace(-1, 1, 7)])
    return network


def test_network_is_small(trained: keras.Model) -> None:
    """At most two million parameters and 150 million multiply-adds a face."""
    network = inference_network(trained, HEAD, 1.0)
    assert network.count_params() < 2e6
    assert 50e6 < multiply_adds(network) < 150e6


def test_temperature_is_folded_into_the_head(trained: keras.Model) -> None:
    """The network that ships gives the softmax of the logits over the temperature."""
    logits = trained.predict(pixels(), verbose=0)[HEAD] / 1.3
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert np.ptp(expected, axis=0).max() > 0.05
    shipped = inference_network(trained, HEAD, 1.3).predict(pixels(), verbose=0)
    assert shipped == pytest.approx(expected, abs=1e-5)


def test_crops_are_shrunk_in_training_only(trained: keras.Model) -> None:
    """A training network may see smaller crops while it learns; what ships has nothing of it."""
    shrink = trained.get_layer(SHRINK)
    shrink.side = 32
    smaller, whole = (shrink(pixels(), training=training) for training in (True, False))
    shrink.side = 48
    assert (smaller.shape, whole.shape) == ((12, 32, 32, 1), (12, 48, 48, 1))
    assert not any(isinstance(layer, Shrink) for layer in inference_network(trained, HEAD, 1.0).layers)


def test_shrunken_crops_have_the_mean_of_their_pixels() -> None:
    """A board of black and white pixels becomes gray; picking pixels would make another board of it."""
    shrink = Shrink()
    shrink.side = 32
    board = 255 * (np.indices((1, 48, 48, 1)).sum(axis=0) % 2).astype("float32")
    gray = np.asarray(shrink(board, training=True))
    assert gray[:, 1:-1, 1:-1] == pytest.approx(np.full((1, 30, 30, 1), 127.5), abs=2)


def test_what_ships_is_what_is_built() -> None:
    """Given the weights that ship the network answers as what ships, on faint crops too; it learns as described."""
    shipped, network = load_network(read_card(EMOTION_MODEL)), training_network([HEAD], 7)
    start_from(network, shipped, same_labels=True)
    noise = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 1)).astype("float32")
    seen = np.concatenate([pixels()[::4], pixels()[:3] / 20, noise])
    assert softmax(network(seen)[HEAD], axis=1) == pytest.approx(np.asarray(shipped(seen)), abs=1e-4)
    assert [layer.rate for layer in network.layers if isinstance(layer, keras.layers.Dropout)] == [0.2]
    norms = [layer.momentum for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms == [0.95] * len(norms) != []


def test_without_normalisation_it_is_the_same_function(trained: keras.Model) -> None:
    """Batch normalisation folded into the convolutions changes no answer, and is gone."""
    shipped = inference_network(trained, HEAD, 1.0)
    light = without_normalisation(shipped)
    assert light.predict(pixels(), verbose=0) == pytest.approx(shipped.predict(pixels(), verbose=0), abs=1e-5)
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in light.layers)
    assert light.count_params() < shipped.count_params()


def test_a_training_goes_on_from_a_model(trained: keras.Model) -> None:
    """Started from a model, a network gives that model's answers; with other labels its heads are fresh."""
    shipped = inference_network(trained, HEAD, 1.0)
    expected = shipped.predict(pixels(), verbose=0)
    same = training_network(["emotion"], 7)
    start_from(same, shipped, same_labels=True)
    again = inference_network(same, HEAD, 1.0).predict(pixels(), verbose=0)
    assert again == pytest.approx(expected, abs=1e-5)
    other = training_network(["emotion"], 3)
    start_from(other, shipped, same_labels=False)
    assert other.predict(pixels(), verbose=0)["emotion"].shape == (12, 3)


def test_a_training_does_not_go_on_from_another_network() -> None:
    """A network that is built otherwise is refused."""
    inputs = keras.Input((48, 48, 1))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    other = keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(features))
    with pytest.raises(TrainingError, match="not one of this network"):
        start_from(training_network(["emotion"], 7), other, same_labels=True)
