"""Data sets as people have them: FER2013, trees of class folders, tables of labelled paths."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from model.data.class_folders import find_files
from model.data.crops import LabelledCrops, image_keys, without
from model.data.fer2013 import read_fer2013
from model.data.image_files import Cut, LabelledFile, find_labels, read_files
from model.data.label_table import files_of
from model.data.parts import ALL, TEST, TRAIN, VALIDATION, part_named
from model.errors import DataError
from model.labels import EMOTIONS, NO_FACE, is_no_face, label_index

__all__ = ["DataSet", "LabelledCrops", "image_keys", "read_fer2013", "read_sets", "select_part", "without"]

log = logging.getLogger("annotate.train")

_FORMS = "a folder of class folders, fer2013.csv, or a CSV or Parquet table of path and label"


@dataclass(frozen=True)
class DataSet:
    """A data set, or one source of a table that holds several: train, val and test as far as it has them, or all."""

    name: str
    source: Path
    parts: dict[str, LabelledCrops]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its parts, which all have the same."""
        return next(iter(self.parts.values())).labels


def read_sets(
    sources: Sequence[Path],
    votes: Path | None = None,
    labels: tuple[str, ...] | None = None,
    cut: Cut | None = None,
) -> list[DataSet]:
    """Read data sets, which all get the same labels: those given, else the emotions that occur in any of them.

    What is called ``no_face`` is left out, unless that is one of the labels. ``votes`` is FER+'s ``fer2013new.csv``,
    which goes with FER2013 alone. ``cut`` cuts the face out of a photograph, for tables with boxes. Raises
    DataError if the data cannot be used.
    """
    fer2013 = [source for source in sources if _is_fer2013(source)]
    if votes is not None and not fer2013:
        raise DataError(f"{votes}: --votes goes with fer2013.csv, whose rows it counts, and with no other data.")
    found, empty = {}, set[str]()
    for source in sources:
        if source not in fer2013:
            files, without_files = _find(source)
            found[source] = _faces(files, labels or (), source)
            empty.update(without_files)
    if labels is None:
        occurring = set(EMOTIONS if fer2013 else ())
        for source, files in found.items():
            occurring |= set(find_labels((file.name for file in files), None, source))
        labels = tuple(label for label in EMOTIONS if label in occurring)
        named = {label_index(name, EMOTIONS) for name in empty}
        left_out = [label for index, label in enumerate(EMOTIONS) if index in named and label not in labels]
        if left_out:
            log.info("left out of the labels, as there is no image: %s", ", ".join(left_out))
    elif fer2013 and labels != EMOTIONS:
        raise DataError(f"{fer2013[0]}: has the labels {', '.join(EMOTIONS)}; received {', '.join(labels)}.")
    sets: list[DataSet] = []
    for source in sources:
        if source in fer2013:
            sets.append(DataSet("fer2013", source, _named_parts(read_fer2013(source, votes), source)))
            continue
        files = found[source]
        find_labels((file.name for file in files), labels, source)
        for name in dict.fromkeys(file.source for file in files):
            of_one = [file for file in files if file.source == name]
            sets.append(DataSet(name, source, read_files(of_one, labels, cut)))
    return _named_apart(sets)


def select_part(parts: dict[str, LabelledCrops], usage: str, source: Path) -> LabelledCrops:
    """The part called ``usage``; raises DataError if there is none."""
    wanted = part_named(usage) or usage.casefold()
    if wanted in parts:
        return parts[wanted]
    raise DataError(f"{source}: has no part {usage!r}. Expected one of {', '.join(parts)}.")


def _named_apart(sets: list[DataSet]) -> list[DataSet]:
    """The same sets; of those that are called alike the second is NAME-2, and so on."""
    seen: dict[str, int] = {}
    apart = []
    for each in sets:
        seen[each.name] = seen.get(each.name, 0) + 1
        name = each.name if seen[each.name] == 1 else f"{each.name}-{seen[each.name]}"
        apart.append(DataSet(name, each.source, each.parts))
    return apart


def _find(source: Path) -> tuple[list[LabelledFile], list[str]]:
    """The labelled files of a folder or table, and the names of the folder's classes that have none."""
    if source.is_dir():
        return find_files(source)
    if not source.is_file():
        raise DataError(f"{source}: no such file or folder. Expected {_FORMS}.")
    return files_of(_read_table(source), source), []


def _faces(files: list[LabelledFile], labels: tuple[str, ...], source: Path) -> list[LabelledFile]:
    """The files that are not called ``no_face``, if no label is; raises DataError if there are none."""
    asked_for = label_index(NO_FACE, labels) is not None
    faces = [file for file in files if asked_for or not is_no_face(file.name)]
    if not faces:
        raise DataError(f"{source}: has no image of a face.")
    others = len(files) - len(faces)
    if others:
        log.info("%s: left out, as it is called %s: %d of %d images", source, NO_FACE, others, len(files))
    return faces


def _is_fer2013(source: Path) -> bool:
    if ".csv" not in source.suffixes or not source.is_file():
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
