"""Streams that may be closed, full or broken, and end no run by it."""

import io
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class _Enduring(io.FileIO):
    def write(self, content: Any, /) -> int:
        with suppress(OSError):  # a full disk, a closed pipe: nobody reads it, and the work goes on
            return super().write(content) or 0
        return len(content)


def enduring(descriptor: int) -> TextIO:
    """A stream for lines of text to a copy of a descriptor; what cannot be written there is dropped."""
    raw = io.BufferedWriter(_Enduring(os.dup(descriptor), "w"))
    return io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def open_missing_streams() -> None:
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
