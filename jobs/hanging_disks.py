"""A disk that hangs while it is listed keeps the run inside the system, where no exception reaches it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from batch.waiting_for_disks import open_questions
from jobs.log import say_end
from jobs.program import CANNOT_GO_ON

_PAUSE, _LEAST = 1.0, 10.0
"""Seconds between two looks, and that any disk is given: some sleep, and start to turn when they are asked."""


@contextmanager
def ended_by_a_hanging_disk(seconds: float) -> Iterator[None]:
    """End the process, with a message, once a folder has not answered for so long; workers end with it."""
    over, seconds = threading.Event(), max(seconds, _LEAST)

    def look_on() -> None:
        before, waited = open_questions(), dict[int, float]()
        while not over.wait(_PAUSE):
            now = open_questions()
            # by looks and not by a clock: while this process itself is stopped nobody can answer it
            waited = {i: waited.get(i, 0) + _PAUSE if before.get(i) is asked else 0 for i, asked in now.items()}
            before = now
            hanging = next((i for i, length in waited.items() if length >= seconds), None)
            if hanging is not None:
                say_end(
                    f"error: The disk does not answer, for {seconds:g} s by now (--store-timeout), when it is asked "
                    f"about {now[hanging][0]}. What is recorded is kept, and the next run goes on from there.",
                    CANNOT_GO_ON,
                )
                os._exit(CANNOT_GO_ON)

    threading.Thread(target=look_on, daemon=True).start()
    try:
        yield
    finally:
        over.set()
