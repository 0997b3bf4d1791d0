"""The word that stands for a model that ships with the package."""

from pathlib import Path
from typing import TypeVar

Given = TypeVar("Given", Path, Path | None)


def or_shipped(given: Given, shipped: Path) -> Given:
    """The file that was named, ``shipped`` for the word."""
    return shipped if given == Path("shipped") else given
