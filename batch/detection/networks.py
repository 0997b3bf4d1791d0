"""Networks as ONNX files, run by ONNX Runtime in a worker, and the seam to them: crops in, probabilities out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from batch.errors import NetworkError

Network = Callable[[np.ndarray], np.ndarray]
"""Takes crops (N, 48, 48) uint8 and gives probabilities (N, labels), wherever and in whatever batches it computes."""

_AT_A_TIME = 32
"""Crops in a batch: more are not faster, and take memory."""


class OnnxFile:
    """A network with one input, on one thread of the CPU: a worker per core is threads enough.

    Memory goes back after each call: the arena that ONNX Runtime would keep grows with every shape that it has seen.
    """

    def __init__(self, file: Path) -> None:
        """Load the file; raises NetworkError if ONNX Runtime does not read it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # what is wrong is raised
        self._file = file
        try:
            self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
            [self._input] = [put.name for put in self._session.get_inputs()]
        except Exception as error:  # ONNX Runtime's errors have no common base
            raise NetworkError(f"ONNX Runtime cannot run {file}: {_reason(error)}.") from error

    def run(self, pixels: np.ndarray, outputs: list[str] | None = None) -> list[np.ndarray]:
        """The outputs of those names, or all. Raises NetworkError if it does not take such pixels, or MemoryError."""
        try:
            answers: list[Any] = self._session.run(outputs, {self._input: pixels})
        except Exception as error:  # as above
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise NetworkError(f"{self._file} gives no answer: {_reason(error)}.") from error
        return [np.asarray(answer) for answer in answers]


def onnx_classifier(file: Path) -> Network:
    """The classifier that takes pixels (N, 48, 48, 1), 0-255, and gives probabilities; raises NetworkError."""
    network = OnnxFile(file)

    def predict(crops: np.ndarray) -> np.ndarray:
        pixels = crops[..., None].astype(np.float32)
        pieces = [network.run(pixels[i : i + _AT_A_TIME])[0] for i in range(0, len(pixels), _AT_A_TIME)]
        return np.concatenate(pieces)

    return predict


def without_label(network: Network, index: int) -> Network:
    """The network without one of its labels: the other probabilities renormalised -> (N, labels - 1)."""

    def predict(crops: np.ndarray) -> np.ndarray:
        rest = np.delete(network(crops), index, axis=1)
        total = rest.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(rest, total, out=np.full_like(rest, 1 / rest.shape[1]), where=total > 0))

    return predict


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")[:300]
