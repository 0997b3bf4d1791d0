"""A classifier as ONNX, which workers run without Keras: ``python -m model.export NAME.keras FACES`` by hand.

Keras' own export writes it, with tf2onnx, which knows TensorFlow alone. So that happens in a process of its own,
whatever backend there is here, and a run of ``annotate`` in need of it does not grow by Keras.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from model.bundle import ModelCard, fingerprint, load_network, read_card, write_json
from model.errors import ModelError
from model.files import write_atomically

_CLOSE = 1e-4
"""How much a probability may differ at most."""
_CROPS = 512
_PATIENCE = 600
"""Seconds that a process has to write a file."""


def can_export() -> bool:
    """Whether the packages of the extra ``train`` are there that it takes."""
    return find_spec("tf2onnx") is not None


def export_onnx(keras_file: Path, labels: tuple[str, ...], file: Path, crops: np.ndarray) -> dict[str, Any]:
    """Write the network of ``keras_file`` as ONNX and compare the two on crops (N, 48, 48) uint8.

    Gives what is noted of it beside the labels. Raises ModelError if Keras, ONNX Runtime or a disk cannot, or they
    differ.
    """
    try:
        with TemporaryDirectory() as folder:
            content, difference = _exported(keras_file, labels, crops[:_CROPS], Path(folder))
        if not difference <= _CLOSE:
            raise ModelError(f"{keras_file} as ONNX differs by {difference:.2g} from what Keras answers.")
        write_atomically(file, lambda new: new.write_bytes(content))
    except OSError as error:
        raise ModelError(f"{keras_file} cannot be written as ONNX: {error}.") from error
    return {"of": fingerprint(keras_file), "crops": min(len(crops), _CROPS), "largest_difference": difference}


def _exported(keras_file: Path, labels: tuple[str, ...], crops: np.ndarray, folder: Path) -> tuple[bytes, float]:
    """The ONNX that a process of its own writes into ``folder``, and how far it differs; raises ModelError, OSError."""
    drawn, unfinished = folder / "crops.npy", folder / "network.onnx"
    np.save(drawn, crops)
    arguments = (str(keras_file), json.dumps(labels), str(unfinished), str(drawn))
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, "-P", "-c", "from model.export import _export; _export()", *arguments]
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{keras_file} cannot be written as ONNX within {_PATIENCE} seconds.") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ModelError(f"{keras_file} cannot be written as ONNX: {reason}")
    return unfinished.read_bytes(), float(done.stdout.split()[-1])


def _export() -> None:
    """What the process of its own does; prints the largest difference."""
    import onnxruntime

    from model.layers import without_normalisation

    keras_file, labels, file, drawn = sys.argv[1:]
    network = without_normalisation(load_network(ModelCard(Path(keras_file), tuple(json.loads(labels)), "", None)))
    pixels = np.load(drawn)[..., None].astype("float32")
    expected = np.asarray(network(pixels))  # Keras exports what has been called
    network.export(file, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [answers] = session.run(None, {session.get_inputs()[0].name: pixels})
    sys.stdout.write(f"\n{np.abs(answers - expected).max()}\n")


def export_beside(keras_file: Path, crops: np.ndarray) -> None:
    """Write NAME.onnx beside NAME.keras, and note it in NAME.json; raises ModelError."""
    card, beside = read_card(keras_file), keras_file.with_suffix(".json")
    facts = export_onnx(keras_file, card.labels, keras_file.with_suffix(".onnx"), crops)
    write_json(beside, json.loads(beside.read_text("utf-8")) | {"onnx": facts})


if __name__ == "__main__":
    from model.data.datasets import read_sets

    [faces] = read_sets([Path(sys.argv[2])])
    export_beside(Path(sys.argv[1]), next(reversed(faces.parts.values())).crops)
