"""CSV that a spreadsheet can open."""

import csv
import io
import tempfile
from pathlib import Path

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.tables.csv_tables import defused, write_csv
from batch.tables.schema import IMAGES

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)


@given(texts)
def test_no_cell_starts_a_formula(text: str) -> None:
    """A cell never starts with a sign that a spreadsheet runs, and can be turned back."""
    cell = defused(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell.removeprefix("'") == text


@example(["\r", "a\rb", "\n"])
@settings(deadline=None)
@given(st.lists(texts, max_size=5))
def test_every_name_survives(names: list[str]) -> None:
    """Names with quotes, commas, new lines and formulas come back from the CSV as they were."""
    rows = [dict.fromkeys(IMAGES.names) | {"root": "/r", "path": name, "status": "ok"} for name in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "names.csv")
        with file.open("wb") as written:
            write_csv(pa.Table.from_pylist(rows, IMAGES), written)
        with file.open(newline="", encoding="utf-8") as stream:
            cells = [row["path"] for row in csv.DictReader(stream)]
    assert [cell.removeprefix("'") for cell in cells] == names


def test_integers_stay_integers_where_one_is_missing() -> None:
    """The width of an image is written without a decimal point, also beside one that could not be read."""
    known = dict.fromkeys(IMAGES.names) | {
        "root": "/r",
        "path": "a",
        "status": "ok",
        "width": 4032,
        "size_bytes": 2**60 + 1,
    }
    written = io.BytesIO()
    write_csv(pa.Table.from_pylist([known, known | {"path": "b", "width": None}], IMAGES), written)
    rows = list(csv.DictReader(io.StringIO(written.getvalue().decode())))
    assert [(row["width"], row["size_bytes"]) for row in rows] == [("4032", str(2**60 + 1)), ("", str(2**60 + 1))]
