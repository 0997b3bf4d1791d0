"""A data set as a table of ``path,label``, with or without boxes and sources, CSV or Parquet."""

from pathlib import Path

import numpy as np
import pandas as pd

from model.data.image_files import LabelledFile
from model.data.parts import ALL, part_named
from model.errors import DataError

_PART_COLUMNS = ("part", "split", "usage")
_BOX_COLUMNS = ("x", "y", "width", "height")


def files_of(table: pd.DataFrame, source: Path) -> list[LabelledFile]:
    """The rows of a table with the columns ``path`` (absolute, or below the table's folder) and ``label``.

    A column ``part``, ``split`` or ``usage`` says which rows are train, val and test, and a column ``source`` which of
    several data sets they are of. With the columns ``x``, ``y``, ``width`` and ``height`` the path leads to a
    photograph and these to the face in it, in pixels of the upright photograph. Raises DataError if something is
    missing.
    """
    columns = {str(column).strip().casefold(): column for column in table.columns}
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise DataError(
            f"{source}: expected the columns path and label (or emotion and pixels, as fer2013.csv); "
            f"received {', '.join(map(str, table.columns))}."
        )
    empty = table[[columns["path"], columns["label"]]].isna().any(axis=1)
    if empty.any():
        raise DataError(f"{source}: row {int(empty.to_numpy().argmax()) + 1} has no path or no label.")
    part_column = next((columns[name] for name in _PART_COLUMNS if name in columns), None)
    parts = [ALL] * len(table) if part_column is None else [_part(str(x), source) for x in table[part_column]]
    sources = [source.name.split(".")[0]] * len(table)
    if "source" in columns:
        sources = table[columns["source"]].astype(str).to_list()
    paths, labels = (table[columns[name]].astype(str) for name in ("path", "label"))
    rows = zip(paths, labels, parts, sources, _boxes(table, columns, source), strict=True)
    return [LabelledFile(source.parent / path, label, part, name, box) for path, label, part, name, box in rows]


def _boxes(table: pd.DataFrame, columns: dict[str, object], source: Path) -> list[tuple[float, ...] | None]:
    """The box of each row as x, y, width and height, None without such columns."""
    there = [name for name in _BOX_COLUMNS if name in columns]
    if not there:
        return [None] * len(table)
    if len(there) < len(_BOX_COLUMNS):
        raise DataError(
            f"{source}: of a box's columns expected {', '.join(_BOX_COLUMNS)}; received {', '.join(there)}."
        )
    numbers = table[[columns[name] for name in _BOX_COLUMNS]].apply(pd.to_numeric, errors="coerce")
    wrong = ~(np.isfinite(numbers).all(axis=1) & (numbers.iloc[:, 2:] > 0).all(axis=1)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(f"{source}: row {row + 1} has no box: expected four numbers, received {[*table.iloc[row]]}.")
    return [tuple(row) for row in numbers.to_numpy(float)]


def _part(name: str, source: Path) -> str:
    part = part_named(name)
    if part is None:
        raise DataError(f"{source}: unknown part {name!r}. Expected train, val or test.")
    return part
