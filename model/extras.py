"""Packages that only some commands need."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from model.errors import TrainingError


def require_training_packages(*names: str) -> None:
    """Raise TrainingError, with the command that mends it, if a package of the extra ``train`` is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        *others, last = missing
        all_of_them = f"{', '.join(others)} and {last}" if others else last
        raise TrainingError(
            f"{all_of_them} cannot be imported. Install the extra: pip install 'emotion-annotate[train]'"
        )


@contextmanager
def without_matplotlib() -> Iterator[None]:
    """Let Keras, if it is imported within, do without Matplotlib, whose import makes folders in a person's home."""
    hidden = "matplotlib" not in sys.modules
    if hidden:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            del sys.modules["matplotlib"]
