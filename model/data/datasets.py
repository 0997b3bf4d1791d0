"""Data sets as people have them: FER2013, trees of class folders, tables of labelled paths."""

from pathlib import Path

import pandas as pd

from model.data.class_folders import find_files
from model.data.crops import LabelledCrops, image_keys, without
from model.data.fer2013 import read_fer2013
from model.data.image_files import find_labels, read_files
from model.data.label_table import files_of
from model.data.parts import ALL, TEST, TRAIN, VALIDATION, part_named
from model.errors import DataError

__all__ = ["LabelledCrops", "image_keys", "read_fer2013", "read_parts", "select_part", "without"]

_FORMS = "a folder of class folders, fer2013.csv, or a CSV or Parquet table of path and label"


def read_parts(
    source: Path, votes: Path | None = None, labels: tuple[str, ...] | None = None
) -> dict[str, LabelledCrops]:
    """Read a data set into its parts: train, val and test as far as it has them, or all.

    ``votes`` is FER+'s ``fer2013new.csv``, which goes with FER2013 alone. ``labels`` are the labels to read its
    classes as; by default the emotions that occur. Raises DataError if the data cannot be used.
    """
    if source.is_dir():
        files, names = find_files(source)
    elif not source.is_file():
        raise DataError(f"{source}: no such file or folder. Expected {_FORMS}.")
    elif _is_fer2013(source):
        return _named_parts(read_fer2013(source, votes), source)
    else:
        files = files_of(_read_table(source), source)
        names = [file.name for file in files]
    if votes is not None:
        raise DataError(f"{source}: --votes goes with fer2013.csv, whose rows it counts, and with no other data.")
    return read_files(files, find_labels(names, labels, source))


def select_part(parts: dict[str, LabelledCrops], usage: str | None, source: Path) -> LabelledCrops:
    """The part to evaluate on: the one called ``usage``, else test, else val, else all there is."""
    wanted = usage if usage is None else part_named(usage) or usage.casefold()
    for part in (TEST, VALIDATION, ALL, TRAIN) if wanted is None else (wanted,):
        if part in parts:
            return parts[part]
    raise DataError(f"{source}: has no part {usage!r}. Expected one of {', '.join(parts)}.")


def _is_fer2013(source: Path) -> bool:
    if ".csv" not in source.suffixes:
        return False
    columns = _read(source, nrows=0).columns
    return {"emotion", "pixels"} <= set(columns)


def _read_table(source: Path) -> pd.DataFrame:
    """A CSV table as text, or a Parquet table."""
    if ".csv" in source.suffixes:
        return _read(source, dtype=str, keep_default_na=False, na_values=[""])
    if source.suffix != ".parquet":
        raise DataError(f"{source}: unknown form of data. Expected {_FORMS}.")
    try:
        return pd.read_parquet(source)
    except (ValueError, OSError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error


def _read(source: Path, **options: object) -> pd.DataFrame:
    try:
        return pd.read_csv(source, **options)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{source} cannot be read: {error}") from error


def _named_parts(by_usage: dict[str, LabelledCrops], source: Path) -> dict[str, LabelledCrops]:
    parts = {part_named(usage) or usage: crops for usage, crops in by_usage.items()}
    unknown = set(parts) - {ALL, TRAIN, VALIDATION, TEST}
    if unknown:
        raise DataError(f"{source}: unknown Usage {', '.join(unknown)}. Expected Training, PublicTest and PrivateTest.")
    return parts
