"""Which device computes. The one file that knows what only TensorFlow needs."""

import keras

from model.errors import DeviceError


def choose_device(wanted: str) -> str:
    """Prepare Keras' backend for ``wanted`` (auto, cpu or gpu) and name the device that will be used.

    Must come before anything is computed. Raises DeviceError if a GPU is demanded and there is none.
    """
    backend = keras.backend.backend()
    gpus = _tensorflow_gpus(wanted) if backend == "tensorflow" else _gpus()
    if wanted == "gpu" and not gpus:
        raise DeviceError(f"No GPU that Keras on {backend} can use. Install its GPU build, or say --device cpu.")
    if wanted == "cpu" and backend != "tensorflow":
        keras.config.set_device("cpu:0") if hasattr(keras.config, "set_device") else None
    return gpus[0] if gpus and wanted != "cpu" else "cpu"


def compute_reproducibly() -> None:
    """Let the same seed give the same numbers on one device, also on a GPU, at some cost in speed.

    Only TensorFlow needs to be told; JAX does so by itself, PyTorch does on a CPU.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _gpus() -> list[str]:
    return list(keras.distribution.list_devices("gpu"))


def _tensorflow_gpus(wanted: str) -> list[str]:
    """TensorFlow's GPUs, told to take memory as they need it instead of all at once."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if wanted == "cpu":
        tf.config.set_visible_devices([], "GPU")
        return []
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [gpu.name.removeprefix("/physical_device:").lower() for gpu in gpus]
