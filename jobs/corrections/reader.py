"""Corrections of any form, read as the table of boxes that training takes."""

import logging
from pathlib import Path

import pandas as pd

from jobs.corrections.coco import Row, is_coco, rows_of_coco
from jobs.corrections.label_studio import is_label_studio, rows_of_label_studio
from jobs.corrections.photographs import Photographs, read_json
from jobs.corrections.tables import is_table, rows_of_table
from model.errors import DataError

log = logging.getLogger("annotate.train")

_COLUMNS = ["path", "label", "x", "y", "width", "height"]


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
        table = pd.DataFrame(list(_rows(source, photographs)), columns=_COLUMNS)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{source} is damaged, or of another form: {type(error).__name__} {error}.") from error
    if table.empty:
        raise DataError(f"{source}: no labelled face. Of Label Studio's tasks those count that somebody has submitted.")
    return table


def _rows(source: Path, photographs: Photographs) -> list[Row]:
    if source.suffix != ".json":
        return list(rows_of_table(source, photographs))
    whole = read_json(source)
    if is_coco(whole):
        return list(rows_of_coco(whole, photographs))
    if is_label_studio(whole):
        return list(rows_of_label_studio(whole, photographs))
    raise DataError(f"{source}: expected a COCO file, or tasks as Label Studio exports them as JSON (not JSON-MIN).")
