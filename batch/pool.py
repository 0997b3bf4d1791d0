"""Run the workers: chunks of images in, outcomes out, in order, whatever dies on the way."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from batch.outcome import Found, Outcome, Status
from batch.settings import WorkerSettings

CHUNK = 4
"""Images that a worker takes at a time: enough to hide the hand-over, few enough to share the work evenly."""

_WAVE = 16
"""Chunks per worker that are in flight at most, which bounds memory however slow the consumer is."""

Work = Callable[[list[Found], WorkerSettings], list[Outcome]]


def _annotate_chunk(chunk: list[Found], settings: WorkerSettings) -> list[Outcome]:
    """Import OpenCV in the process that needs it; a run with nothing new does without."""
    from batch.worker import annotate_chunk

    _die_with_the_driver()
    return annotate_chunk(chunk, settings)


@cache
def _die_with_the_driver() -> None:
    """Have a worker process end when its driver is killed, instead of idling on for minutes."""
    driver = os.getppid()

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(1)
        os._exit(1)

    if multiprocessing.current_process().name != "MainProcess":
        threading.Thread(target=watch, daemon=True).start()


def annotate_images(
    images: Iterable[Found], settings: WorkerSettings, jobs: int, work: Work = _annotate_chunk
) -> Iterator[Outcome]:
    """The outcome of each image, in the order of ``images``; ``jobs`` processes, or this one if it is 1.

    An image on which a worker process dies (a decoder's crash, the system's memory killer, its time is up) gets the
    status CRASHED; the other images of its chunk are done all the same. With one job nobody survives such a crash.
    """
    for wave in _batched(_batched(images, CHUNK), _WAVE * jobs):
        done = 0
        try:
            for outcomes in Parallel(jobs, return_as="generator")(delayed(work)(chunk, settings) for chunk in wave):
                done += 1
                yield from outcomes
        except TerminatedWorkerError:
            for chunk in wave[done:]:
                yield from _survive(chunk, settings, jobs, work)


def _survive(chunk: list[Found], settings: WorkerSettings, jobs: int, work: Work) -> Iterator[Outcome]:
    """Do a chunk again after a crash; if it crashes again, find out by halves which image it is."""
    started = time.monotonic()
    try:
        [outcomes] = Parallel(jobs)([delayed(work)(chunk, settings)])
    except TerminatedWorkerError:
        if len(chunk) == 1:
            late = time.monotonic() - started >= settings.image_timeout
            slow = f"reading it took longer than --image-timeout {settings.image_timeout:g} seconds"
            died = "the process that decoded it died; the image is probably damaged"
            yield Outcome(chunk[0], Status.CRASHED, slow if late else died)
            return
        half = len(chunk) // 2
        yield from _survive(chunk[:half], settings, jobs, work)
        yield from _survive(chunk[half:], settings, jobs, work)
    else:
        yield from outcomes


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one maybe shorter (``itertools.batched``, which Python 3.11 lacks)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
