"""Which error ends a command with which exit code."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
from jobs.log import say_end
from model.errors import DataError, DeviceError, ModelError, TrainingError

FAILED_IMAGES, HELD, CANNOT_GO_ON, INTERRUPTED, TERMINATED = 3, 4, 5, 130, 143
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


class Terminated(BaseException):
    """SIGTERM has come."""


def _on_sigterm(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextmanager
def exit_codes(kept: str = "what was done is kept, the next run goes on from there") -> Iterator[None]:
    """Turn the errors that a person can mend, and the signals, into a message on stderr and their exit code.

    ``kept`` tells a person who stopped the command what became of the work.
    """
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        yield
    except tuple(_EXIT_CODES) as error:
        say_end(f"error: {error}", _EXIT_CODES[type(error)])
        raise typer.Exit(_EXIT_CODES[type(error)]) from error
    except KeyboardInterrupt as error:
        say_end(f"interrupted: {kept}", INTERRUPTED)
        raise typer.Exit(INTERRUPTED) from error
    except Terminated as error:
        say_end(f"terminated: {kept}", TERMINATED)
        raise typer.Exit(TERMINATED) from error
