"""Log lines on stderr, as text or as JSON."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from typing import Annotated, TextIO

import typer

from jobs.streams import enduring


class LogFormat(StrEnum):
    """The form of a log line."""

    TEXT = "text"
    JSON = "json"


def printable(text: str) -> str:
    r"""Write out control characters, which a file name may carry to a terminal, as escapes such as ``\\x1b``."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Warnings and errors only.")]
LogForm = Annotated[LogFormat, typer.Option(help="Form of the log lines on stderr.")]


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"time": time, "level": record.levelname.lower(), "message": record.getMessage()}
        return json.dumps(fields | getattr(record, "fields", {}), ensure_ascii=True)


class _TextFormatter(logging.Formatter):
    def __init__(self, form: str, dates: str | None = None, reworded: Callable[[str], str] = str) -> None:
        super().__init__(form, dates)
        self._reworded = reworded

    def format(self, record: logging.LogRecord) -> str:
        return printable(self._reworded(super().format(record)))


def start_logging(form: LogFormat, quiet: bool = False, verbose: bool = False) -> None:
    """Send this project's log lines to stderr; ``quiet`` leaves warnings and errors only, ``verbose`` adds debug."""
    handler = logging.StreamHandler(sys.stderr)
    text = _TextFormatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%d %H:%M:%S")
    handler.setFormatter(_JsonFormatter() if form is LogFormat.JSON else text)
    root = logging.getLogger("annotate")
    root.handlers[:] = [handler]
    root.propagate = False
    root.setLevel(logging.WARNING if quiet else logging.DEBUG if verbose else logging.INFO)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries say comes as an exception, if it matters
    logging.captureWarnings(True)


def say_end(text: str, exit_code: int) -> None:
    """Say on stderr how a command ended, in the form of the log lines; JSON has the level apart."""
    root = logging.getLogger("annotate")
    if any(isinstance(handler.formatter, _JsonFormatter) for handler in root.handlers):
        root.error(text.removeprefix("error: "), extra={"fields": {"exit": exit_code}})
    else:
        print(printable(text), file=sys.stderr)  # noqa: T201 - a message for a person


@contextmanager
def lines_shown(stream: TextIO | None, reworded: Callable[[str], str]) -> Iterator[None]:
    """Show what a run says, reworded, on ``stream``, if there is one and the program does not see to that itself."""
    root = logging.getLogger("annotate")
    if stream is None or root.handlers:
        yield
        return
    level, propagate = root.level, root.propagate
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_TextFormatter("%(message)s", reworded=reworded))
    root.addHandler(handler)
    root.propagate = False
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        root.propagate = propagate


@contextmanager
def native_libraries_silenced(wanted: bool) -> Iterator[None]:
    """Send what C and C++ code prints to stderr nowhere for a while, where Python's own stderr leads elsewhere."""
    if not wanted:
        yield
        return
    native = os.dup(2)
    _lead_nowhere(2)
    try:
        yield
    finally:
        os.dup2(native, 2)
        os.close(native)


def silence_native_libraries() -> None:
    """Send what C and C++ code prints to stderr nowhere, and keep Python's own stderr.

    Image decoders print a line for each oddity of a damaged file, TensorFlow prints pages at every start; both would
    drown the log lines, and a progress bar. What matters of it comes as an exception or an exit code. The worker
    processes inherit this.
    """
    sys.stderr.flush()
    sys.stderr = enduring(2)
    _lead_nowhere(2)


def _lead_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def show_version(wanted: bool) -> None:
    """Print the version and exit, if ``wanted``."""
    if wanted:
        typer.echo(f"emotion-annotate {version('emotion-annotate')}")
        raise typer.Exit()
