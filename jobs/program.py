"""A console program that ends with an exit code of the table also where nobody hears it, or its folder is gone."""

import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import typer

CANNOT_GO_ON = 5


class Program(typer.Typer):
    """A Typer application whose streams may be closed, full or broken."""

    def __init__(self, **more: Any) -> None:
        super().__init__(pretty_exceptions_enable=False, rich_markup_mode=None, **more)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """Run as Typer does; what cannot be said is not said, and ends no run."""
        _open_missing_streams()
        sys.stdout, sys.stderr = enduring(1), enduring(2)
        try:
            Path.cwd()
        except FileNotFoundError:
            print("error: The working directory is gone. Change to one that is there (cd).", file=sys.stderr)  # noqa: T201
            sys.exit(CANNOT_GO_ON)
        return super().__call__(*arguments, **named)


class _Enduring(io.FileIO):
    def write(self, content: Any, /) -> int:
        with suppress(OSError):  # a full disk, a closed pipe: nobody reads it, and the work goes on
            return super().write(content) or 0
        return len(content)


def enduring(descriptor: int) -> TextIO:
    """A stream for lines of text to a copy of a descriptor; what cannot be written there is dropped."""
    raw = io.BufferedWriter(_Enduring(os.dup(descriptor), "w"))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def _open_missing_streams() -> None:
    """Lead stdin, stdout and stderr nowhere where they are closed: else files of ours would get their numbers."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.fstat(descriptor)
                continue
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != descriptor:
                os.dup2(nowhere, descriptor)
                os.close(nowhere)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))
