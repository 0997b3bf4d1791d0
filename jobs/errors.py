"""Which error ends a command with which exit code."""

import errno
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from batch.errors import (
    ClusterError,
    DetectorError,
    NetworkError,
    OutputError,
    OutputHeld,
    RootError,
    UnreadError,
    WorkersError,
)
from batch.faults import NO_THREAD, is_refusal
from jobs.log import say_end
from jobs.program import CANNOT_GO_ON
from jobs.signals import Terminated, forget_signals, heed_signals
from model.errors import DataError, DeviceError, ModelError, TrainingError

FAILED_IMAGES, HELD, INTERRUPTED = 3, 4, 130
_EXIT_CODES: dict[type[Exception], int] = {
    OutputHeld: HELD,
    **dict.fromkeys(
        (
            RootError,
            UnreadError,
            WorkersError,
            OutputError,
            ClusterError,
            DetectorError,
            NetworkError,
            ModelError,
            DataError,
            TrainingError,
            DeviceError,
        ),
        CANNOT_GO_ON,
    ),
}


_NO_ROOM = ("failed to map segment", "cannot allocate memory")
"""What the loader of native modules says where there is too little memory for one (glibc's dl-map-segments.h)."""

MENDABLE = tuple(_EXIT_CODES)
"""What a person can mend, who is given a message and no traceback."""


@contextmanager
def exit_codes(kept: str = "what was done is kept, the next run goes on from there") -> Iterator[None]:
    """Turn the errors that a person can mend, and the signals, into a message on stderr and their exit code.

    ``kept`` tells a person who stopped the command what became of the work.
    """
    heed_signals()
    try:
        yield
    except MENDABLE as error:
        code = next(code for kind, code in _EXIT_CODES.items() if isinstance(error, kind))
        say_end(f"error: {error}", code)
        raise typer.Exit(code) from error
    except KeyboardInterrupt as error:
        say_end(f"interrupted: {kept}", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from error
    except Terminated as error:
        say_end(f"{error.said}: {kept}", error.exit_code)
        raise typer.Exit(error.exit_code) from error
    except (OSError, MemoryError, RuntimeError, ImportError) as error:
        if not _is_refusal(error):
            raise
        say_end(f"error: {_refusal(error)} What was done is kept.", CANNOT_GO_ON)
        raise typer.Exit(CANNOT_GO_ON) from error
    finally:
        forget_signals()


def _is_refusal(error: OSError | MemoryError | RuntimeError | ImportError) -> bool:
    if isinstance(error, OSError):
        return is_refusal(error.errno) or error.errno in (errno.EACCES, errno.EPERM)
    if isinstance(error, ImportError):
        return any(said in str(error) for said in _NO_ROOM)
    return isinstance(error, MemoryError) or str(error) == NO_THREAD


def _refusal(error: OSError | MemoryError | RuntimeError | ImportError) -> str:
    """What the system has refused, and where it was asked, should that be a defect of ours."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    asked = f"(in {place.name}, line {place.lineno} of {place.filename})"
    if isinstance(error, (MemoryError, ImportError)):
        return f"There is too little memory {asked}."
    if isinstance(error, RuntimeError):
        return f"The system starts no more threads {asked}. Raise the limit (ulimit -u, or a container's pids limit)."
    return f"The system refuses {error.filename or 'something'}: {error.strerror} {asked}."
