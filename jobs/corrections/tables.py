"""Corrections in a table of ``root,path,face,label``, or of ``root,path,x,y,width,height,label``."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from jobs.corrections.coco import Row
from jobs.corrections.photographs import Photographs
from model.errors import DataError

_BOX = ("x", "y", "width", "height")


def is_table(source: Path) -> bool:
    """Whether it is a CSV table of faces in photographs, and not of crops."""
    return ".csv" in source.suffixes and {"root", "path", "label"} <= set(_read(source, nrows=0).columns)


def rows_of_table(source: Path, photographs: Photographs) -> Iterator[Row]:
    """A row per row with a label, those without one are left out; raises DataError.

    An apostrophe that ``faces.csv`` has in front of a name, or a spreadsheet's user has left, is taken off where there
    is no such name.
    """
    table = _read(source, dtype=str, keep_default_na=False)
    boxed = set(_BOX) <= set(table.columns)
    if not boxed and "face" not in table.columns:
        raise DataError(f"{source}: expected a column face, or x, y, width and height; received {', '.join(table)}.")
    for number, row in enumerate(table.to_dict("records"), 1):
        if not row["label"].strip():
            continue
        try:
            root, path = row["root"], row["path"]
            if boxed:
                x, y, width, height = (float(row[name]) for name in _BOX)
            else:
                root, path = _known(root, path, photographs)
                x, y, width, height = map(float, photographs.boxes.loc[root, path, int(row["face"])])
        except (KeyError, ValueError) as error:
            wanted = ", ".join(f"{name} {row[name]!r}" for name in ("root", "path", *(_BOX if boxed else ("face",))))
            raise DataError(f"{source}: row {number} is no face of the tables: {wanted}.") from error
        yield photographs.at(root, path), row["label"].strip(), x, y, width, height


def _known(root: str, path: str, photographs: Photographs) -> tuple[str, str]:
    index = photographs.boxes.index
    return next(
        (name for name in ((root, path), (root, path.removeprefix("'"))) if name in index),
        (root, path),
    )


def _read(source: Path, **options: object) -> pd.DataFrame:
    try:
        return pd.read_csv(source, **options)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error
