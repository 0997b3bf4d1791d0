"""A model on disk: a ``.keras`` file, beside it the same network as ``.onnx``, and a ``.json`` with the labels."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.archive import check_archive
from model.data.crops import CROP_SIZE
from model.errors import ModelError
from model.files import write_atomically

SHIPPED = Path(__file__).parent / "weights"
EMOTION_MODEL = SHIPPED / "emotions.keras"
FACE_MODEL = SHIPPED / "faces.keras"
GLANCE_MODEL = FACE_MODEL.with_suffix(".glance.onnx")
DETECTOR_MODEL = SHIPPED / "detector.onnx"


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model file without loading it."""

    path: Path
    labels: tuple[str, ...]
    sha256: str
    onnx: Path | None
    """The same network for ONNX Runtime, if it is there and was written of this very file."""

    def facts(self) -> dict[str, Any]:
        """All that the JSON says: figures, settings, what it was trained on."""
        facts: dict[str, Any] = json.loads(self.path.with_suffix(".json").read_text("utf-8"))
        return facts


def read_card(path: Path) -> ModelCard:
    """Read the labels beside ``path`` and fingerprint the model. Needs no Keras.

    Raises ModelError if either file is missing or the labels are not a list of at least two different names.
    """
    beside = path.with_suffix(".json")
    for file, what in ((path, "model"), (beside, "labels of the model")):
        if not os.path.isfile(file):  # noqa: PTH113 - Path raises
            raise ModelError(f"No {what} at {file}. A model is NAME.keras with NAME.json beside it.")
    try:
        facts = json.loads(beside.read_text("utf-8"))
        labels = facts["labels"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f'{beside}: expected JSON with a list "labels", such as {{"labels": ["joy", …]}}.') from error
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise ModelError(f"{beside}: expected a list of names as labels, received {labels!r}.")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ModelError(f"{beside}: expected at least two different labels, received {labels!r}.")
    sha256, onnx = fingerprint(path), path.with_suffix(".onnx")
    exported = facts.get("onnx")
    of_this = onnx.is_file() and isinstance(exported, dict) and exported.get("of") == sha256
    return ModelCard(path, tuple(labels), sha256, onnx if of_this else None)


def fingerprint(file: Path) -> str:
    """A file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def load_network(card: ModelCard) -> Any:
    """Load the Keras network of ``card``, refusing files that need code to be run.

    Raises ModelError if the file cannot be loaded, does not take (N, 48, 48, 1) and give (N, labels), or does not
    give probabilities.
    """
    network = load_keras_file(card.path)
    expected_input, expected_output = (None, CROP_SIZE, CROP_SIZE, 1), (None, len(card.labels))
    received = getattr(network, "input_shape", None), getattr(network, "output_shape", None)
    if received != (expected_input, expected_output):
        raise ModelError(
            f"{card.path}: expected input {expected_input} and output {expected_output} for the labels "
            f"{', '.join(card.labels)}; received input {received[0]} and output {received[1]}."
        )
    _check_probabilities(network, card.path)
    return network


def load_keras_file(file: Path) -> Any:
    """Load whatever network a ``.keras`` file holds, refusing files that need code to be run; raises ModelError."""
    import keras

    check_archive(file)
    try:
        return keras.saving.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its file formats raise
        reason = str(error).strip().splitlines()
        raise ModelError(f"{file} cannot be loaded: {reason[0] if reason else type(error).__name__}") from error


def _check_probabilities(network: Any, path: Path) -> None:
    """Try the network on a gray ramp and its negative."""
    ramp = np.tile(np.linspace(0, 255, CROP_SIZE, dtype="float32"), (CROP_SIZE, 1))
    pixels = np.stack([ramp, 255 - ramp])[..., None]
    answers = np.asarray(network.predict_on_batch(pixels))
    if not (np.isfinite(answers).all() and (answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=0.01)):
        raise ModelError(
            f"{path}: expected probabilities that add up to 1, received {np.round(answers[0], 3).tolist()}. "
            "End the network in a softmax."
        )


def save_bundle(network: Any, path: Path, labels: tuple[str, ...], facts: dict[str, Any], crops: np.ndarray) -> None:
    """Write ``path`` (.keras), the same as .onnx, and a .json with the labels and ``facts``, each atomically.

    The .json notes how far the two networks differ on crops (N, 48, 48) uint8; raises ModelError if they do.
    """
    from model.export import export_onnx

    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, network.save)
    facts = {"labels": list(labels), **facts}
    write_json(path.with_suffix(".json"), facts)  # whole without the .onnx, if that should fail
    onnx = export_onnx(path, labels, path.with_suffix(".onnx"), crops)
    write_json(path.with_suffix(".json"), facts | {"onnx": onnx})


def write_json(file: Path, facts: dict[str, Any]) -> None:
    """Write what is known of a model, atomically."""
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    write_atomically(file, lambda unfinished: unfinished.write_text(text, "utf-8"))
