"""A root that does not answer is asked again, with pauses that grow, until it does or time is up; and that is said."""

import logging
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator
from itertools import chain, repeat
from typing import TypeVar

from batch.errors import OutageError
from batch.outcome import Waiting

log = logging.getLogger("annotate.stores")

_PAUSES = (0.5, 1.0, 2.0, 4.0)
_LONGEST = 8.0
"""Seconds between two questions; with the time that an answer may take, a line comes every half minute."""

_EVERY = 25.0
"""Seconds between two lines of one root: one says it for all that wait."""

Answer = TypeVar("Answer")
_said_at: dict[str, float] = {}
_lock = threading.Lock()


def pauses() -> Iterator[float]:
    """Seconds between tries, shortened by chance, so that many workers do not ask all at once."""
    return map(jittered, chain(_PAUSES, repeat(_LONGEST)))


def jittered(seconds: float) -> float:
    """Half of it or more, by chance."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - nobody is to be kept from guessing it


def answered_in_time(root: str, ask: Callable[[], Answer], seconds: float) -> Generator[Waiting, None, Answer]:
    """The answer, and meanwhile each time why there is none yet; raises OutageError after ``seconds`` without one."""
    since = time.monotonic()
    for pause in pauses():
        try:
            return ask()
        except OutageError as error:
            if time.monotonic() + pause - since > seconds:
                raise OutageError(
                    f"{error}, for {time.monotonic() - since:.0f} s by now (--store-timeout {seconds:g}). What is done "
                    "is kept, nothing is recorded of the rest, and the next run goes on from there."
                ) from error
            yield Waiting(root, str(error))
            time.sleep(pause)
    raise AssertionError("pauses never end")


def heard(waiting: Generator[Waiting, None, Answer]) -> Answer:
    """The answer; until it comes it is said what is waited for."""
    while True:
        try:
            say(next(waiting))
        except StopIteration as answered:
            return answered.value  # type: ignore[no-any-return]


def say(waiting: Waiting) -> None:
    """Say at once, and then twice a minute, that a root does not answer."""
    with _lock:
        now = time.monotonic()
        due = now - _said_at.get(waiting.root, -_EVERY) >= _EVERY
        if due:
            _said_at[waiting.root] = now
    if due:
        log.warning("%s; nothing is recorded of its images, they wait", waiting.reason)
