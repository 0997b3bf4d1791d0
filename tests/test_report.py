"""The report page."""

from pathlib import Path

import pytest
from conftest import annotate_here, noise
from typer.testing import CliRunner

from jobs.report import app, render


def test_page_stands_alone_and_runs_nothing(photos: Path, tmp_path: Path) -> None:
    """The page has the figures, loads nothing and shows a name that looks like HTML as text."""
    noise(1).save(tmp_path / "a.png")
    (photos / "<script>alert(1)<").mkdir()
    (photos / "<script>alert(1)<" / "script>.jpg").write_bytes(b"no image")
    annotate_here(photos, tmp_path / "out")
    page = render(tmp_path / "out")
    assert "2 faces in 5 images" in page
    assert "&lt;script&gt;alert(1)" in page
    for forbidden in ("<script", "http://", "https://", "src=", "@import"):
        assert forbidden not in page


@pytest.mark.parametrize("make", [True, False], ids=["empty folder", "no folder"])
def test_no_tables_is_an_error(make: bool, tmp_path: Path) -> None:
    """A folder without tables ends with exit code 5."""
    if make:
        (tmp_path / "out").mkdir()
    done = CliRunner().invoke(app, [str(tmp_path / "out"), "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 5
    assert not (tmp_path / "page.html").exists()
