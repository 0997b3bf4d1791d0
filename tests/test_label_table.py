"""Data sets as a table of paths and labels: what becomes of its columns, and what is said of a wrong one."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from model.data.image_files import LabelledFile
from model.data.label_table import files_of
from model.errors import DataError

SOURCE = Path("/data/my.faces.csv")


def rows_of(**columns: list[Any]) -> list[LabelledFile]:
    """The rows of a table with two images."""
    return files_of(pd.DataFrame({"path": ["a.png", "/b/b.png"], "label": ["joy", 7], **columns}), SOURCE)


def refusal(**columns: list[Any]) -> str:
    """What is said of such a table."""
    with pytest.raises(DataError) as refused:
        rows_of(**columns)
    return str(refused.value)


def test_a_row_is_a_file_below_the_table_and_its_label() -> None:
    """Labels are text; the set is called as its file is; names of columns may be spelt as people spell them."""
    first, second = rows_of()
    assert first == LabelledFile(Path("/data/a.png"), "joy", "all", "my", None)
    assert second == LabelledFile(Path("/b/b.png"), "7", "all", "my", None)
    spelt = pd.DataFrame({" Path": ["a.png"], "LABEL": ["joy"], "Source ": [3]})
    assert files_of(spelt, SOURCE) == [LabelledFile(Path("/data/a.png"), "joy", "all", "3", None)]


@pytest.mark.parametrize("column", ["part", "split", "Usage"])
def test_each_row_says_its_part(column: str) -> None:
    """By any of three columns, and by the names that people have for parts."""
    assert [row.part for row in rows_of(**{column: ["Training", "val"]})] == ["train", "val"]
    assert refusal(**{column: ["train", 3]}) == f"{SOURCE}: unknown part '3'. Expected train, val or test."


def test_each_row_has_its_own_box() -> None:
    """Numbers, also as text, in the order x, y, width, height."""
    box = {"height": ["4", "8"], "width": [3, 0.5], "y": [2, -6], "x": [1, 5]}
    assert [row.box for row in rows_of(**box)] == [(1, 2, 3, 4), (5, -6, 0.5, 8)]


def test_what_is_missing_is_said() -> None:
    """Columns, what a row lacks, and which row it is, counted from one."""
    with pytest.raises(DataError) as refused:
        files_of(pd.DataFrame({"file": ["a.png"], 3: [4]}), SOURCE)
    wanted = "expected the columns path and label (or emotion and pixels, as fer2013.csv); received file, 3."
    assert str(refused.value) == f"{SOURCE}: {wanted}"
    with pytest.raises(DataError, match="received path, x"):
        files_of(pd.DataFrame({"path": ["a.png"], "x": [4]}), SOURCE)
    assert refusal(label=["joy", None]) == f"{SOURCE}: row 2 has no path or no label."
    assert refusal(path=[None, "b.png"]) == f"{SOURCE}: row 1 has no path or no label."
    assert refusal(x=[1, 1], width=[1, 1]) == (
        f"{SOURCE}: of a box's columns expected x, y, width, height; received x, width."
    )


@pytest.mark.parametrize("wrong", [{"x": float("inf")}, {"width": 0}, {"height": -1}, {"y": "top"}])
def test_the_row_whose_box_is_none_is_named(wrong: dict[str, Any]) -> None:
    """Whatever is wrong with it; the row before is sound."""
    right = {"x": 1, "y": 2, "width": 3, "height": 4}
    said = refusal(**{name: [right[name], (right | wrong)[name]] for name in right})
    assert said.startswith(f"{SOURCE}: row 2 has no box: expected four numbers, received ['/b/b.png', 7, ")
