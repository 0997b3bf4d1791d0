"""A worker process of this machine: chunks of images go in by a pipe, and what became of each comes out as it comes."""

import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import inf
from multiprocessing.connection import Connection

from batch.outcome import ImageFile, Result, Waiting
from batch.roots.outages import say
from batch.settings import WorkerSettings

Work = Callable[[list[ImageFile], WorkerSettings], Iterable[Result | Waiting]]
"""What a worker does with a chunk: a result for each of its images, in order, best as they come. Of an empty chunk it
makes ready, so that a process that has come so far is sound."""

_GIVEN_UP = 1
"""Exit code of a process that has given up an image, and itself: ``time_limit``."""


def _exit_codes(*names: str) -> tuple[int, ...]:
    """The exit codes of processes that such a signal has ended; Windows lacks some."""
    return tuple(-getattr(signal, name) for name in names if hasattr(signal, name))


_OF_DECODERS = _exit_codes("SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE")
_FROM_OUTSIDE = _exit_codes("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
"""On Windows the one is the other."""

_TO_START, _TO_END = 300.0, 1.0
"""Seconds that a process has until it is ready, and to end."""

_BEAT, _EVERY = "beat", 5.0
"""What a process says every so many seconds while it is at work, if its decoders let it."""
_LOOK = 0.25
"""Seconds for which the driver looks at a time. What it waits is counted in looks: a clock goes on in its sleep."""
_SILENT = 30.0
"""Seconds beyond those of an image after which a process that says nothing is frozen: it would have ended itself."""

_SAFE_PATH = "PYTHONSAFEPATH"

_starting = threading.Lock()
"""Processes are started and waited for one after the other: multiprocessing's own books are not for several threads."""


class WorkerDied(Exception):
    """A worker process has ended before its work was done; ``seconds`` were waited for it since its last result.

    ``frozen``: it was ended, or given up, as it said nothing any more, not even that.
    """

    def __init__(self, exit_code: int | None, seconds: float, frozen: bool = False) -> None:
        ended = f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
        super().__init__("frozen" if frozen else ended)
        self.exit_code, self.seconds, self.frozen = exit_code, seconds, frozen

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
        with _starting, _away_from_this_folder():  # threads that import joblib side by side may meet it half imported
            from joblib.externals.loky.backend.context import get_context  # which a run with nothing new does without

            self._connection, theirs = multiprocessing.Pipe()
            self._process = get_context("loky").Process(target=_serve, args=(theirs, work, settings), daemon=True)
            try:
                self._process.start()
            except UnboundLocalError as error:  # loky's, which hides what the system has refused
                raise error.__context__ or error from None
            finally:
                theirs.close()
        self._silent, self._waited = inf, 0.0
        for _ in self.results([], _TO_START):
            pass
        self._silent = settings.image_timeout + _SILENT

    def results(self, chunk: list[ImageFile], most: float = inf) -> Generator[Result, None, None]:
        """What becomes of each image, in order, as it comes; raises WorkerDied, or what the work raises."""
        self._waited, until = 0.0, time.monotonic() + most
        try:
            self._connection.send(chunk)
            while (result := self._received(until)) is not None:
                if isinstance(result, _Raised):
                    break
                self._waited = 0.0
                if isinstance(result, Waiting):
                    say(result)
                else:
                    yield result
        except (EOFError, OSError) as error:
            raise WorkerDied(self.end(), self._waited, isinstance(error, TimeoutError)) from error
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
                os.kill(self._process.pid, _KILL)

    def _received(self, until: float) -> "Result | Waiting | _Raised | None":
        """What it says next, but for beats; raises TimeoutError if it is silent for too long, or not done in time."""
        silent = 0.0
        while silent < self._silent and (begun := time.monotonic()) < until:
            speaks = self._connection.poll(_LOOK)
            looked = min(_LOOK, time.monotonic() - begun)  # this process may have been stopped, and the other with it
            self._waited += looked
            silent = 0.0 if speaks else silent + looked
            if speaks and (said := self._connection.recv()) != _BEAT:
                return said  # type: ignore[no-any-return]
        raise TimeoutError


@contextmanager
def _away_from_this_folder() -> Iterator[None]:
    """Have processes that start look for their modules elsewhere: this folder's files may be a stranger's."""
    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before


@dataclass(frozen=True)
class _Raised:
    """What the work has raised."""

    error: Exception


def _serve(connection: Connection, work: Work, settings: WorkerSettings) -> None:
    """Do chunks until the driver is gone. What a terminal sends to each of its processes is the driver's matter."""
    for name in ("SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    at_work, speaking = threading.Event(), threading.Lock()

    def say_to_driver(what: object) -> None:
        with speaking:
            connection.send(what)

    _tie_to_the_driver(lambda: say_to_driver(_BEAT) if at_work.is_set() else None)
    while True:
        try:
            chunk = connection.recv()
        except EOFError:
            return
        at_work.set()
        try:
            for result in work(chunk, settings):
                say_to_driver(result)
        except Exception as error:
            error.add_note(f"In a worker process:\n{traceback.format_exc()}")
            end: object = _Raised(error)
        else:
            end = None
        at_work.clear()
        say_to_driver(end)


def _tie_to_the_driver(beat: Callable[[], None]) -> None:
    """``beat`` now and then, and end this process when its driver is killed, instead of working on for minutes."""
    driver = os.getppid()

    def watch() -> None:
        beaten = time.monotonic()
        while os.getppid() == driver:
            time.sleep(1)
            if time.monotonic() - beaten >= _EVERY:
                beaten = time.monotonic()
                with suppress(OSError):  # the driver is gone
                    beat()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
