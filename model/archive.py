"""What a ``.keras`` file from a stranger says it is made of, looked at before Keras builds any of it."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model.errors import ModelError

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
_MODULES = (
    "keras",
    "keras.activations",
    "keras.constraints",
    "keras.dtype_policies",
    "keras.initializers",
    "keras.layers",
    "keras.models",
    "keras.regularizers",
    "keras.src.models.functional",
    "keras.src.models.sequential",
    *(f"keras.src.ops.{kind}" for kind in ("core", "image", "linalg", "math", "nn", "numpy")),
)
"""Modules whose classes a network may name; operations on tensors are saved under their place in Keras' source."""
_VALUES = ("__keras_tensor__", "__numpy__", "__tensor__", "__tuple__", "__slice__", "__ellipsis__", "__bytes__")
"""What Keras writes for values that are no objects."""
_CODE = ("Lambda", "TorchModuleWrapper", "TFSMLayer", "JaxLayer", "FlaxLayer")
"""Layers of Keras' own that run what the file brings along, or a file that it names."""


def check_archive(path: Path) -> None:
    """Raise ModelError unless ``path`` is a whole ``.keras`` file that is built of Keras' own layers alone.

    ``safe_mode`` refuses Python code in a file, but trusts it with the names of modules and functions; this does not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            missing = [name for name in _MEMBERS if name not in archive.namelist()]
            damaged = archive.testzip()
            config = json.loads(archive.read("config.json")) if not missing else {}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        raise ModelError(f"{path} is no .keras file, or a damaged one: {error}") from error
    if missing or damaged or not isinstance(config, dict):
        raise ModelError(
            f"{path} is a damaged .keras file: {', '.join(missing) or damaged or 'config.json'} is missing or damaged."
        )
    config.pop("compile_config", None)  # the optimizer and losses are not loaded
    foreign = sorted({name for name in _named_objects(config) if not _is_known(*name)})
    if foreign:
        names = ", ".join(f"{module}.{name}" if module else name for module, name in foreign)
        raise ModelError(
            f"{path} needs code to be run, which may do anything: {names}. Only Keras' own layers are loaded; "
            "build the network without Lambda layers and custom objects."
        )


def _named_objects(config: Any) -> Iterator[tuple[str, str]]:
    """The module and name of every object that the configuration wants built."""
    if isinstance(config, list):
        for value in config:
            yield from _named_objects(value)
    elif isinstance(config, dict):
        if "class_name" in config:
            registered = config.get("registered_name")
            foreign = registered not in (None, config["class_name"])
            yield str(registered if foreign else config.get("module") or ""), str(config["class_name"])
        for value in config.values():
            yield from _named_objects(value)


def _is_known(module: str, name: str) -> bool:
    if name in _VALUES:
        return True
    return module in _MODULES and name not in _CODE
