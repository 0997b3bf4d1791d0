"""Run the workers: chunks of images in, outcomes out, in order, whatever dies on the way."""

import multiprocessing
import os
import threading
import time
import warnings
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

_WAVE, _FIRST = 16, 128
"""Chunks per worker that are in flight at most, which bounds memory however slow the consumer is; and how many it may
always be, so that few workers, too, have enough to do while the consumer imports Keras."""

# What a run that is interrupted has done beyond what it has recorded is done again, which is no news for anybody.
warnings.filterwarnings("ignore", r"\d+ tasks (have been|which were)", module="joblib")

Work = Callable[[list[Found], WorkerSettings], list[Outcome]]


def _annotate_chunk(chunk: list[Found], settings: WorkerSettings) -> list[Outcome]:
    """Import OpenCV in the process that needs it; a run with nothing new does without."""
    from batch.workers.worker import annotate_chunk

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
    for wave in _batched(_batched(images, CHUNK), max(_WAVE * jobs, _FIRST)):
        yield from _outcomes(wave, settings, jobs, work)


def _outcomes(chunks: list[list[Found]], settings: WorkerSettings, jobs: int, work: Work) -> Iterator[Outcome]:
    """Do some chunks; after a crash do the rest again, in ever smaller parts, until it is known which image it was."""
    done, started = 0, time.monotonic()
    try:
        for outcomes in Parallel(jobs, return_as="generator")(delayed(work)(chunk, settings) for chunk in chunks):
            done += 1
            yield from outcomes
    except TerminatedWorkerError:
        rest = chunks[done:]
        if len(rest) == 1 and len(rest[0]) == 1:
            late = time.monotonic() - started >= settings.image_timeout
            slow = f"reading it took longer than --image-timeout {settings.image_timeout:g} seconds"
            died = "the process that decoded it died; the image is probably damaged"
            yield Outcome(rest[0][0], Status.CRASHED, slow if late else died)
            return
        for part in _parts(rest, 2 * jobs):
            yield from _outcomes(part, settings, jobs, work)


def _parts(chunks: list[list[Found]], in_flight: int) -> list[list[list[Found]]]:
    """Those that were probably in flight apart from those behind them; then each on its own; then halves of one."""
    if len(chunks) > in_flight:
        return [chunks[:in_flight], chunks[in_flight:]]
    if len(chunks) > 1:
        return [[chunk] for chunk in chunks]
    [chunk] = chunks
    half = len(chunk) // 2
    return [[chunk[:half]], [chunk[half:]]]


def _batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one maybe shorter (``itertools.batched``, which Python 3.11 lacks)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
