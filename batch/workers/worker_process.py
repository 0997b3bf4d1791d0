"""A worker process of this machine: chunks of images go in by a pipe, and what became of each comes out as it comes."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection

from batch.outcome import ImageFile, Result, Waiting
from batch.roots.outages import say
from batch.settings import WorkerSettings

Work = Callable[[list[ImageFile], WorkerSettings], Iterable[Result | Waiting]]
"""What a worker does with a chunk: a result for each of its images, in order, best as they come. Of an empty chunk it
makes ready, so that a process that has come so far is sound."""

_GIVEN_UP = 1
"""Exit code of a process that has given up an image, and itself: ``time_limit``."""
_OF_DECODERS = (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGILL, -signal.SIGFPE)
_FROM_OUTSIDE = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, -signal.SIGQUIT)

_TO_START, _TO_END = 300.0, 1.0
"""Seconds that a process has until it is ready, and to end."""

_starting = threading.Lock()
"""Processes are started and waited for one after the other: multiprocessing's own books are not for several threads."""


class WorkerDied(Exception):
    """A worker process has ended before its work was done; ``seconds`` ago it gave its last result."""

    def __init__(self, exit_code: int | None, seconds: float) -> None:
        super().__init__(
            f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
        )
        self.exit_code, self.seconds = exit_code, seconds

    def was_late(self, image_timeout: float) -> bool:
        """Whether it gave up its image, as that took too long."""
        return self.exit_code == _GIVEN_UP and self.seconds >= image_timeout / 2  # this process may have been late, too

    @property
    def by_decoder(self) -> bool:
        """Whether it died as processes do in which native code goes wrong."""
        return self.exit_code in _OF_DECODERS

    @property
    def from_outside(self) -> bool:
        """Whether somebody has asked it to end, which no image does."""
        return self.exit_code in _FROM_OUTSIDE


class WorkerProcess:
    """One process that does ``work``; joblib's kind, which does not import the program's main module again."""

    def __init__(self, work: Work, settings: WorkerSettings) -> None:
        """Start it and wait until it is ready; raises WorkerDied, OSError, or what made it fail."""
        with _starting:  # also as threads that import joblib side by side may meet it half imported
            from joblib.externals.loky.backend.context import get_context  # which a run with nothing new does without

            self._connection, theirs = multiprocessing.Pipe()
            self._process = get_context("loky").Process(target=_serve, args=(theirs, work, settings), daemon=True)
            try:
                self._process.start()
            except UnboundLocalError as error:  # loky's, which hides what the system has refused
                raise error.__context__ or error from None
            finally:
                theirs.close()
        for _ in self.results([], _TO_START):
            pass

    def results(self, chunk: list[ImageFile], patience: float | None = None) -> Generator[Result, None, None]:
        """What becomes of each image, in order, as it comes; raises WorkerDied, or what the work raises."""
        since = time.monotonic()
        try:
            self._connection.send(chunk)
            while (result := self._received(patience)) is not None:
                if isinstance(result, _Raised):
                    break
                since = time.monotonic()
                if isinstance(result, Waiting):
                    say(result)
                else:
                    yield result
        except (EOFError, OSError) as error:
            raise WorkerDied(self.end(), time.monotonic() - since) from error
        if isinstance(result, _Raised):
            raise result.error

    def end(self) -> int | None:
        """Have it end, if it has not yet; gives its exit code."""
        with _starting:
            self._process.join(_TO_END)
        self.kill()
        with _starting:
            self._process.join(_TO_END)
            return self._process.exitcode  # type: ignore[no-any-return]

    def kill(self) -> None:
        """Kill the process; whoever waits for its results gets WorkerDied."""
        with _starting:
            if self._process.exitcode is None and self._process.pid:
                os.kill(self._process.pid, signal.SIGKILL)

    def _received(self, patience: float | None) -> "Result | Waiting | _Raised | None":
        if not self._connection.poll(patience):
            self.kill()
        return self._connection.recv()  # type: ignore[no-any-return]


@dataclass(frozen=True)
class _Raised:
    """What the work has raised."""

    error: Exception


def _serve(connection: Connection, work: Work, settings: WorkerSettings) -> None:
    """Do chunks until the driver is gone. What a terminal sends to each of its processes is the driver's matter."""
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    _die_with_the_driver()
    while True:
        try:
            chunk = connection.recv()
        except EOFError:
            return
        try:
            for result in work(chunk, settings):
                connection.send(result)
        except Exception as error:
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            connection.send(_Raised(error))
        else:
            connection.send(None)


def _die_with_the_driver() -> None:
    """Have a worker process end when its driver is killed, instead of working on for minutes."""
    driver = os.getppid()

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
