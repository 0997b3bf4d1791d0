"""A model on disk: one ``.keras`` file and a ``.json`` beside it with the labels."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.errors import ModelError

SHIPPED = Path(__file__).parent / "weights"
EMOTION_MODEL = SHIPPED / "emotions.keras"
FACE_MODEL = SHIPPED / "faces.keras"


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
    """Load the Keras network of ``card``, refusing files that need code to be run (``safe_mode``).

    Raises ModelError if the file cannot be loaded or does not take (N, 48, 48, 1) and give (N, labels).
    """
    import keras

    from model.network import CROP_SIZE

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
    return network


def save_bundle(network: Any, path: Path, labels: tuple[str, ...], facts: dict[str, Any]) -> None:
    """Write ``path`` (.keras) and its .json with the labels and ``facts``, each atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _atomically(path, network.save)
    text = json.dumps({"labels": list(labels), **facts}, indent=2, ensure_ascii=False) + "\n"
    _atomically(path.with_suffix(".json"), lambda unfinished: unfinished.write_text(text, "utf-8"))


def _atomically(path: Path, write: Callable[[Path], object]) -> None:
    unfinished = path.with_name(f".{os.getpid()}.{path.name}")
    write(unfinished)
    unfinished.replace(path)
