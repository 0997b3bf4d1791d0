"""Corrections of any form, read as the table of boxes that training takes."""

import logging
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from batch.names import number_of
from batch.tables.files import write_durably, writing
from jobs.corrections.coco import Row, is_coco, rows_of_coco
from jobs.corrections.label_studio import is_label_studio, rows_of_label_studio
from jobs.corrections.photographs import Photographs, read_json
from jobs.corrections.tables import is_table, rows_of_table
from model.errors import DataError

log = logging.getLogger("annotate.train")

_COLUMNS = ["path", "label", "x", "y", "width", "height"]


def as_tables(sources: Iterable[Path], annotations: Path | None, folder: Path, prefix: str = "") -> tuple[Path, ...]:
    """The same data, with a table ``folder``/PREFIXsource.parquet in the place of each file of corrections.

    It keeps what was learned, or measured by, when the tables that were corrected have changed. Raises DataError or
    OutputError.
    """
    tables: list[Path] = []
    names = Counter[str]()
    for source in sources:
        if are_corrections(source):
            name = source.name.split(".")[0]
            names[name] += 1
            number = f"-{names[name]}" if names[name] > 1 else ""
            tables.append(folder / f"{prefix}{name}{number}.parquet")
            _write_table(read_corrections(source, annotations).assign(source=name), source, tables[-1])
        else:
            tables.append(source)
    return tuple(tables)


def _write_table(table: pd.DataFrame, source: Path, file: Path) -> None:
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    write_durably(file, partial(table.to_parquet, index=False))
    faces, photographs = number_of(len(table), "labelled face"), number_of(table["path"].nunique(), "photograph")
    log.info("%s: %s in %s", source, faces, photographs)


def are_corrections(source: Path) -> bool:
    """Whether a file is one of COCO, of Label Studio, or a table with roots; raises DataError if it cannot be read."""
    return source.is_file() and (source.suffix == ".json" or is_table(source))


def read_corrections(source: Path, annotations: Path | None = None) -> pd.DataFrame:
    """The labelled faces as rows of path, label, x, y, width and height, in pixels of the upright photograph.

    ``annotations`` is the output that was corrected: needed for a table that numbers its faces, and for photographs
    that are named as in an export. Raises DataError if the file is none of ours, OutputError if the output is none.
    """
    photographs = Photographs(source, annotations)
    try:
        rows = _rows(source, photographs)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source} is damaged, or of another form: {type(error).__name__} {error}.") from error
    named = [row for row in rows if _is_text(row[0])]
    if len(named) < len(rows):
        left_out = number_of(len(rows) - len(named), "face")
        log.warning("%s left out: the names of their photographs are not UTF-8", left_out)
    if not named:
        raise DataError(f"{source}: no labelled face. Of Label Studio's tasks those count that somebody has submitted.")
    return pd.DataFrame(named, columns=_COLUMNS)


def _rows(source: Path, photographs: Photographs) -> list[Row]:
    if source.suffix != ".json":
        return list(rows_of_table(source, photographs))
    whole = read_json(source)
    if is_coco(whole):
        return list(rows_of_coco(whole, photographs))
    if is_label_studio(whole):
        return list(rows_of_label_studio(whole, photographs))
    raise DataError(f"{source}: expected a COCO file, or tasks as Label Studio exports them as JSON (not JSON-MIN).")


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
