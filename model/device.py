"""Which device computes. The one file that knows what a single backend needs."""

import os
from pathlib import Path

from model.errors import DeviceError

_NODES = ("nvidia[0-9]*", "kfd", "dxg")
"""Files of /dev that the drivers of NVIDIA, of AMD, and of Windows' Linux have where there is a GPU."""


def gpu_in_sight() -> bool:
    """Whether there may be a GPU, by its driver and not by Keras, which takes seconds to import."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(any(Path("/dev").glob(node)) for node in _NODES)


def choose_device(wanted: str) -> str:
    """Prepare Keras' backend for ``wanted`` (auto, cpu or gpu) and name the device that will be used.

    Must come before Keras is imported anywhere. Raises DeviceError if a GPU is demanded and there is none.
    """
    if wanted == "cpu":
        os.environ |= {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}  # all backends heed one of them
    import keras

    backend = keras.backend.backend()
    gpus = _GPUS_OF[backend]()
    if wanted == "gpu" and not gpus:
        extra = ": pip install 'emotion-annotate[gpu]'" if backend == "tensorflow" else ""
        raise DeviceError(f"No GPU that Keras on {backend} can use. Install its GPU build{extra}, or say --device cpu.")
    return gpus[0] if gpus and wanted != "cpu" else "cpu"


def compute_reproducibly() -> None:
    """Let the same seed give the same numbers on one device, also on a GPU, at some cost in speed.

    Only TensorFlow needs to be told; JAX does so by itself, PyTorch does on a CPU.
    """
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _tensorflow_gpus() -> list[str]:
    """TensorFlow's GPUs, told to take memory as they need it instead of all at once."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [gpu.name.removeprefix("/physical_device:").lower() for gpu in gpus]


def _jax_gpus() -> list[str]:
    import keras

    return [name for name in keras.distribution.list_devices() if not name.startswith("cpu")]


def _torch_gpus() -> list[str]:
    import torch

    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


_GPUS_OF = {"tensorflow": _tensorflow_gpus, "jax": _jax_gpus, "torch": _torch_gpus}
