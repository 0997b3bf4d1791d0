"""Log lines."""

import json
import logging
import os
import pty
import sys

import pytest

from batch.outcome import ImageFile, Key, Outcome, Status
from jobs.annotation.run_report import RunReport
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


def test_names_cannot_command_a_terminal_beside_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a terminal gets while the bar is on it has no escape sequence from a name."""
    shown, terminal = pty.openpty()
    with open(terminal, "w", encoding="utf-8") as stderr:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stderr)
        start_logging(LogFormat.TEXT)
        crashed = ImageFile(Key("/photos\x1b]0;owned\x07", "a\x1b[2Jb\x1b[31m.jpg"), 1, 1)
        with RunReport(bar=True) as report:
            report.add(Outcome(crashed, Status.CRASHED, "died of \x1b[2J"), [])
        print(end="the end", file=stderr, flush=True)
        text = ""
        while not text.endswith("the end"):  # one reading may give a part of it
            text += os.read(shown, 100_000).decode()
    assert "a\\x1b[2Jb\\x1b[31m.jpg" in text
    assert "finding images" in text
    assert not {"\x1b[2J", "\x1b[31m", "\x1b]0;", "\x07"} & {
        text[at : at + n] for at in range(len(text)) for n in (1, 4, 5)
    }
