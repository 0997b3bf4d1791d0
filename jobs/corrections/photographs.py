"""Where the photographs lie that corrections name."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from batch.names import from_text
from batch.roots import open_root
from batch.roots.folder import Folder
from jobs.exports.records import AnnotatedTables, as_posix_name, read_annotated
from model.errors import DataError


@dataclass(frozen=True)
class Photographs:
    """The photographs of an output (None: it is not known), for corrections that stand in ``source``."""

    source: Path
    annotations: Path | None

    @cached_property
    def boxes(self) -> pd.DataFrame:
        """x, y, width and height by root, path and face; raises DataError if the output is not known."""
        if self.annotations is None:
            raise DataError(
                f"{self.source}: its column face needs the tables that it numbers the faces of: --annotations DIR. "
                "Or give the columns x, y, width and height."
            )
        rows = [face for image in self._tables.images for face in image.faces]
        columns = ["root", "path", "face", "x", "y", "width", "height"]
        return pd.DataFrame(rows, columns=columns).set_index(["root", "path", "face"])

    def at(self, root: str, path: str) -> str:
        """The file of an image that is named as in the tables; raises DataError if it is in no folder."""
        opened = open_root(root)
        if not isinstance(opened, Folder):
            raise DataError(
                f"{self.source}: {root} is an archive or a store, and faces are cut out of files. Unpack it, annotate "
                "the folder, and correct that; or train on the crops of annotate --crops."
            )
        return os.fspath(opened.path / from_text(path))

    def called(self, name: str) -> str:
        """The file of an image that is named as in an export: below the folder that all roots of the output lie in.

        If the output is not known, below the folder of the corrections.
        """
        if self.annotations is None or name not in self._places:
            return os.fspath(self.source.parent / name)
        return self.at(*self._places[name])

    @cached_property
    def _tables(self) -> AnnotatedTables:
        if self.annotations is None:
            raise ValueError("the output is not known")
        return read_annotated(self.annotations)

    @cached_property
    def _places(self) -> dict[str, tuple[str, str]]:
        return {as_posix_name(place): image.key for image, place in self._tables.places()}


def read_json(source: Path) -> Any:
    """What stands in a JSON file; raises DataError."""
    try:
        return json.loads(source.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error
