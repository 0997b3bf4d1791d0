"""What an ONNX file from a stranger is made of, looked at in a process of its own before a worker runs it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from model.errors import ModelError

_MOST_BYTES = 100 * 2**20
_MOST_MEMORY = 4 * 2**30
_PATIENCE = 60
"""Seconds that a file has to be read and to answer twice."""
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
"""Sets of operators that read and write no files."""


def check_onnx(file: Path, labels: int | None = None) -> None:
    """Raise ModelError unless ``file`` is a network of ONNX's own operators that needs no other file.

    With ``labels``, also unless it takes pixels (N, 48, 48, 1) and gives (N, labels) probabilities.
    """
    if (size := file.stat().st_size) > _MOST_BYTES:
        raise ModelError(f"{file}: expected at most {_MOST_BYTES // 2**20} MB, received {size // 2**20} MB.")
    command = [
        sys.executable,
        "-P",
        "-c",
        f"import sys; sys.path[:] = {sys.path!r}; from model.onnx_graph import _check; _check()",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            [*command, str(file), str(labels or 0)], capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"{file}: expected an answer within {_PATIENCE} seconds.") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        reason = said[-1] if said else f"the process that read it ended with {done.returncode}"
        raise ModelError(f"{file} is no network to be run here: {reason}")


def _check() -> None:
    """What the process of its own does: exit with the reason if something is wrong."""
    if sys.platform != "win32":
        import resource

        with suppress(ValueError):  # there is a lower limit already, or macOS knows none of this kind
            resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    import onnx

    file, labels = sys.argv[1], int(sys.argv[2])
    model = onnx.load(file, load_external_data=False)
    if model.functions or model.training_info:
        sys.exit("it defines operators of its own.")
    for part in _parts(model.graph):
        if isinstance(part, onnx.NodeProto) and part.domain not in _DOMAINS:
            sys.exit(f"the operator {part.domain}.{part.op_type} is none of ONNX's own.")
        if isinstance(part, onnx.TensorProto) and (part.external_data or part.data_location):
            sys.exit(f"{part.name} lies in another file. Save the network with its weights inside.")
    if labels:
        _try(file, labels)


def _parts(message: Any) -> Iterator[Any]:
    """A protocol buffer's message and all messages within it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in [value] if hasattr(value, "ListFields") else value:
                yield from _parts(inner)


def _try(file: str, labels: int) -> None:
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    [name] = [put.name for put in session.get_inputs()]
    ramp = np.tile(np.linspace(0, 255, 48, dtype="float32"), (48, 1))
    for pixels in (np.stack([ramp, 255 - ramp])[..., None], ramp[None, ..., None]):
        answers = session.run(None, {name: pixels})[0]
        if answers.shape != (len(pixels), labels):
            sys.exit(
                f"expected output (N, {labels}), one for each label; received {answers.shape} for N={len(pixels)}."
            )
        if not (np.isfinite(answers).all() and (answers >= 0).all() and np.allclose(answers.sum(axis=1), 1, atol=0.01)):
            sys.exit(f"expected probabilities that add up to 1, received {np.round(answers[0], 3).tolist()}.")
