"""A data set as a table of ``path,label``, CSV or Parquet."""

from pathlib import Path

import pandas as pd

from model.data.image_files import LabelledFile
from model.data.parts import ALL, part_named
from model.errors import DataError

_PART_COLUMNS = ("part", "split", "usage")


def files_of(table: pd.DataFrame, source: Path) -> list[LabelledFile]:
    """The rows of a table with the columns ``path`` (absolute, or below the table's folder) and ``label``.

    A column ``part``, ``split`` or ``usage`` says which rows are train, val and test. Raises DataError if something
    is missing.
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
    rows = zip(table[columns["path"]].astype(str), table[columns["label"]].astype(str), parts, strict=True)
    return [LabelledFile(source.parent / path, label, part) for path, label, part in rows]


def _part(name: str, source: Path) -> str:
    part = part_named(name)
    if part is None:
        raise DataError(f"{source}: unknown part {name!r}. Expected train, val or test.")
    return part
