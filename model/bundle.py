"""A model on disk: one ``.keras`` file and a ``.json`` beside it with the labels."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.archive import check_archive
from model.errors import ModelError
from model.files import write_atomically

SHIPPED = Path(__file__).parent / "weights"
EMOTION_MODEL = SHIPPED / "emotions.keras"
FACE_MODEL = SHIPPED / "faces.keras"
GLANCE_MODEL = FACE_MODEL.with_suffix(".glance.onnx")
DETECTOR_MODEL = SHIPPED / "detector.onnx"
SHIPPED_DETECTORS = {"cascade": GLANCE_MODEL, "cnn": DETECTOR_MODEL}
"""What detectors need of ours, by their names."""


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model file without loading it."""

    path: Path
    labels: tuple[str, ...]
    sha256: str


def read_card(path: Path) -> ModelCard:
    """Read the labels beside ``path`` and fingerprint the model. Needs no Keras.

    Raises ModelError if either file is missing or the labels are not a list of at least two different names.
    """
    beside = path.with_suffix(".json")
    for file, what in ((path, "model"), (beside, "labels of the model")):
        if not file.is_file():
            raise ModelError(f"No {what} at {file}. A model is NAME.keras with NAME.json beside it.")
    try:
        labels = json.loads(beside.read_text("utf-8"))["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{beside}: expected JSON with a list "labels", such as {{"labels": ["joy", …]}}.') from error
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise ModelError(f"{beside}: expected a list of names as labels, received {labels!r}.")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ModelError(f"{beside}: expected at least two different labels, received {labels!r}.")
    return ModelCard(path, tuple(labels), hashlib.sha256(path.read_bytes()).hexdigest())


def load_network(card: ModelCard) -> Any:
    """Load the Keras network of ``card``, refusing files that need code to be run.

    Raises ModelError if the file cannot be loaded, does not take (N, 48, 48, 1) and give (N, labels), or does not
    give probabilities.
    """
    import keras

    from model.layers import CROP_SIZE

    check_archive(card.path)
    try:
        network = keras.saving.load_model(card.path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its file formats raise
        reason = str(error).strip().splitlines()
        raise ModelError(f"{card.path} cannot be loaded: {reason[0] if reason else type(error).__name__}") from error
    expected_input, expected_output = (None, CROP_SIZE, CROP_SIZE, 1), (None, len(card.labels))
    received = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    if received != (expected_input, expected_output):
        raise ModelError(
            f"{card.path}: expected input {expected_input} and output {expected_output} for the labels "
            f"{', '.join(card.labels)}; received input {received[0]} and output {received[1]}."
        )
    _check_probabilities(network, card.path)
    return network


def _check_probabilities(network: Any, path: Path) -> None:
    """Try the network on a gray ramp and its negative."""
    from model.layers import CROP_SIZE

    ramp = np.tile(np.linspace(0, 255, CROP_SIZE, dtype="float32"), (CROP_SIZE, 1))
    pixels = np.stack([ramp, 255 - ramp])[..., None]
    answers = np.asarray(network.predict_on_batch(pixels))
    if not (np.isfinite(answers).all() and (answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=0.01)):
        raise ModelError(
            f"{path}: expected probabilities that add up to 1, received {np.round(answers[0], 3).tolist()}. "
            "End the network in a softmax."
        )


def save_bundle(network: Any, path: Path, labels: tuple[str, ...], facts: dict[str, Any]) -> None:
    """Write ``path`` (.keras) and its .json with the labels and ``facts``, each atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, network.save)
    text = json.dumps({"labels": list(labels), **facts}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path.with_suffix(".json"), lambda unfinished: unfinished.write_text(text, "utf-8"))
