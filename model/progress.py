"""Long work says every half minute how far it is."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

log = logging.getLogger("annotate.train")

SECONDS = 30.0
"""Between two lines."""

Item = TypeVar("Item")


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Pass the ``items`` on, ``total`` of them; what takes longer than ``SECONDS`` says how many there were."""
    said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if number < total and time.monotonic() - said >= SECONDS:
            log.info("%s: %d of %d", what, number, total)
            said = time.monotonic()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what is being done, and say it again every ``SECONDS`` until it is over."""
    log.info("%s", what)
    with saying(lambda: what):
        yield


@contextmanager
def saying(what: Callable[[], str]) -> Iterator[None]:
    """Say what is being done whenever ``SECONDS`` have gone without a line, until it is over."""
    over, said = threading.Event(), time.monotonic()

    def hear(_line: logging.LogRecord) -> bool:
        nonlocal said
        said = time.monotonic()
        return True

    def speak() -> None:
        while not over.wait(said + SECONDS - time.monotonic()):
            if time.monotonic() - said >= SECONDS:
                log.info("%s", what())

    speaker = threading.Thread(target=speak, daemon=True)
    log.addFilter(hear)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()
        log.removeFilter(hear)
