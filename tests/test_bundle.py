"""Models from strangers."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from model.bundle import load_network, read_card
from model.errors import ModelError
from model.inference import Classifier


def save(folder: Path, output: object, labels: object = ("a", "b"), shape: tuple[int, ...] = (48, 48, 1)) -> Path:
    """Save a network that ends in ``output`` (a function of the flattened pixels) with labels beside it."""
    pixels = keras.Input(shape)
    keras.Model(pixels, output(layers.Flatten()(pixels))).save(folder / "m.keras")
    (folder / "m.json").write_text(json.dumps({"labels": labels}))
    return folder / "m.keras"


def two(features: object) -> object:
    return layers.Dense(2, activation="softmax")(features)


def test_any_network_of_the_right_shape_can_be_used(tmp_path: Path) -> None:
    """A stranger's network with labels of its own is loaded and answers."""
    card = read_card(save(tmp_path, two))
    assert card.labels == ("a", "b")
    assert load_network(card).predict_on_batch(np.zeros((3, 48, 48, 1), "float32")).shape == (3, 2)
    crops = np.random.default_rng(0).integers(0, 3, (3, 48, 48), np.uint8)
    expected = load_network(card).predict_on_batch(crops[..., None].astype("float32"))
    assert Classifier(card, 2).predict(crops) == pytest.approx(expected, abs=1e-5), "each as it is, a batch of one, too"


def test_another_networks_onnx_is_not_taken(tmp_path: Path) -> None:
    """What lies beside a model counts only if its labels' file says that it was written of this very model."""
    file = save(tmp_path, two)
    (tmp_path / "m.onnx").write_bytes(b"")
    for of, taken in (("0", None), (read_card(file).sha256, tmp_path / "m.onnx")):
        (tmp_path / "m.json").write_text(json.dumps({"labels": ["a", "b"], "onnx": {"of": of}}))
        assert read_card(file).onnx == taken


def test_code_in_a_file_is_refused(tmp_path: Path) -> None:
    """A network with a Lambda layer is not loaded, and its code not run."""
    ran = tmp_path / "ran"
    code = layers.Lambda(lambda x, _file=str(ran): (open(_file, "w").close(), x)[1])  # noqa: PTH123
    file = save(tmp_path, lambda features: two(code(features)))
    ran.unlink(missing_ok=True)
    with pytest.raises(ModelError, match="code"):
        load_network(read_card(file))
    assert not ran.exists()


@pytest.mark.parametrize(
    ("labels", "shape", "reason"),
    [
        (("a", "b", "c"), (48, 48, 1), "output"),
        (("a", "b"), (64, 64, 3), "input"),
        (("a", "a"), (48, 48, 1), "different labels"),
        ("joy", (48, 48, 1), "list of names"),
    ],
)
def test_what_does_not_fit_is_said(labels: object, shape: tuple[int, ...], reason: str, tmp_path: Path) -> None:
    """A wrong input, a wrong output and wrong labels are refused with what was expected."""
    with pytest.raises(ModelError, match=reason):
        load_network(read_card(save(tmp_path, two, labels, shape)))


def test_damaged_and_missing_files_are_said(tmp_path: Path) -> None:
    """A truncated archive, missing labels and a missing model are refused."""
    file = save(tmp_path, two)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ModelError, match="damaged"):
        load_network(read_card(file))
    (tmp_path / "m.json").unlink()
    with pytest.raises(ModelError, match="labels"):
        read_card(file)
    with pytest.raises(ModelError, match="No model"):
        read_card(tmp_path / "none.keras")


def test_a_network_without_softmax_is_refused(tmp_path: Path) -> None:
    """Answers that are no probabilities would be nonsense in the tables."""
    with pytest.raises(ModelError, match="add up to 1"):
        load_network(read_card(save(tmp_path, layers.Dense(2))))
