"""Packages that only some commands need."""

from importlib.util import find_spec

from model.errors import TrainingError


def require_training_packages(*names: str) -> None:
    """Raise TrainingError, with the command that mends it, if a package of the extra ``train`` is missing."""
    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"{' and '.join(missing)} cannot be imported. Install the extra: pip install 'emotion-annotate[train]'"
        )
