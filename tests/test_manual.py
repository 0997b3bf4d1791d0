"""What man and the shell know of the commands."""

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from conftest import annotate_command, environment

from jobs import annotate, train

PROGRAM = str(Path(__file__).parents[1] / "docs" / "manual.py")
MANUAL = runpy.run_path(PROGRAM)


@pytest.mark.parametrize(("program", "app"), [("annotate", annotate.app), ("annotate-train", train.app)])
def test_the_page_has_every_option_and_man_reads_it(program: str, app: typer.Typer, tmp_path: Path) -> None:
    """Also those of the commands below; without a warning, and with what is special to man as it was."""
    command = typer.main.get_command(app)
    page = MANUAL["manual_page"](program, command)
    names = {
        name
        for one in (command, *getattr(command, "commands", {}).values())
        for option in one.params
        for name in option.opts
        if name.startswith("--")
    }
    assert names and all(name.replace("-", "\\-") in page for name in names)
    if shutil.which("man") is None:
        pytest.skip("no man here to read the page")
    (tmp_path / "page.1").write_text(page, "utf-8")
    line = ["man", "--warnings", "-l", str(tmp_path / "page.1")]
    read = subprocess.run(line, capture_output=True, text=True, check=False, env=environment() | {"MANWIDTH": "100"})
    assert (read.returncode, read.stderr) == (0, "")
    assert max(map(len, read.stdout.splitlines())) <= 100


def test_what_the_package_brings_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer has brought Click of its own for some time."""
    monkeypatch.setitem(sys.modules, "click", None)
    page = runpy.run_path(PROGRAM)["manual_page"]("annotate", typer.main.get_command(annotate.app))
    assert ".SH SYNOPSIS" in page


def test_text_that_looks_like_macros_stays() -> None:
    """A line that starts with a dot, a backslash and a dash."""
    assert MANUAL["_plain"](".zip  files\n\\xNN") == "\\&.zip files \\exNN"
    assert MANUAL["_plain"]("--jobs") == "\\-\\-jobs"


def test_the_shell_completes_options() -> None:
    """What --install-completion installs for bash is a script that asks the program, which knows its options."""

    def asked(**variables: str) -> str:
        done = subprocess.run(
            annotate_command(), env=environment() | variables, capture_output=True, text=True, check=False
        )
        return done.stdout

    assert "complete -o default -F _annotate_completion annotate" in asked(_ANNOTATE_COMPLETE="source_bash")
    answer = asked(_ANNOTATE_COMPLETE="complete_bash", COMP_WORDS="annotate --detect", COMP_CWORD="1")
    assert answer.split() == ["--detector", "--detect-size", "--detector-model"]
