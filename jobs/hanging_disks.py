"""A disk that hangs while it is listed keeps the run inside the system, where no exception reaches it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from batch.roots.waiting_for_disks import silent_for
from jobs.log import say_end
from jobs.program import CANNOT_GO_ON

_PAUSE, _LEAST = 1.0, 10.0
"""Seconds between two looks, and that any disk is given: some sleep, and start to turn when they are asked."""


@contextmanager
def ended_by_a_hanging_disk(seconds: float) -> Iterator[None]:
    """End the process, with a message, once a folder has not answered for so long; workers end with it."""
    over, seconds = threading.Event(), max(seconds, _LEAST)

    def look_on() -> None:
        before = None
        while not over.wait(_PAUSE):
            place = silent_for(seconds)
            if place and place == before:  # once may be, where this process itself was stopped
                say_end(
                    f"error: The disk does not answer, for {seconds:g} s by now (--store-timeout), when it is asked "
                    f"about {place}. What is recorded is kept, and the next run goes on from there.",
                    CANNOT_GO_ON,
                )
                os._exit(CANNOT_GO_ON)
            before = place

    threading.Thread(target=look_on, daemon=True).start()
    try:
        yield
    finally:
        over.set()
