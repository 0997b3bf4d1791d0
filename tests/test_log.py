"""Log lines."""

import json
import logging

import pytest

from jobs.log import LogFormat, printable, start_logging


def test_names_cannot_command_a_terminal() -> None:
    """Escape sequences, new lines and bytes that are not UTF-8 come out as text; letters of all scripts stay."""
    assert printable("a\x1b[2Jb\nc\u202ed\udce9") == "a\\x1b[2Jb\\nc\\u202ed\\udce9"
    assert printable("café 写真 😀") == "café 写真 😀"


@pytest.mark.parametrize("form", LogFormat)
def test_one_line_per_message(form: LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    """A message with a new line in a name is one line all the same."""
    start_logging(form)
    logging.getLogger("annotate.job").warning("cannot list %s", "two\nlines")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    if form is LogFormat.JSON:
        assert json.loads(lines[0])["message"] == "cannot list two\nlines"


def test_quiet_leaves_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """--quiet says nothing but trouble."""
    start_logging(LogFormat.TEXT, quiet=True)
    logging.getLogger("annotate.job").info("all is well")
    logging.getLogger("annotate.job").warning("all is not well")
    assert capsys.readouterr().err.count("\n") == 1
