"""Corrections of any form, read as the table of boxes that training takes."""

import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pandas as pd

from batch.tables.files import write_durably
from jobs.corrections.coco import Row, is_coco, rows_of_coco
from jobs.corrections.label_studio import is_label_studio, rows_of_label_studio
from jobs.corrections.photographs import Photographs, read_json
from jobs.corrections.tables import is_table, rows_of_table
from model.errors import DataError

log = logging.getLogger("annotate.train")

_COLUMNS = ["path", "label", "x", "y", "width", "height"]


def as_tables(sources: Iterable[Path], annotations: Path | None, model: Path) -> tuple[Path, ...]:
    """The same data, with a table beside ``model``, NAME.SOURCE.parquet, in the place of each file of corrections.

    It keeps what was trained on, when the tables that were corrected have changed. Raises DataError or OutputError.
    """
    return tuple(_as_table(source, annotations, model) if are_corrections(source) else source for source in sources)


def _as_table(source: Path, annotations: Path | None, model: Path) -> Path:
    table = read_corrections(source, annotations).assign(source=source.name.split(".")[0])
    written = model.with_name(f"{model.stem}.{source.name.split('.')[0]}.parquet")
    write_durably(written, partial(table.to_parquet, index=False))
    log.info("%s: %d labelled faces in %d photographs", source, len(table), table["path"].nunique())
    return written


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
        log.warning("%d faces are left out: their photographs' names are not UTF-8", len(rows) - len(named))
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
