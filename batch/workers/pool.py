"""Run the workers of this machine: images in, results out, in order, whatever dies on the way."""

import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any

from batch.errors import WorkersError
from batch.outcome import ImageFile, Outcome, Result, Setback, Status, Waiting
from batch.roots.outages import say
from batch.settings import WorkerSettings
from batch.workers.stalled import disk_hangs
from batch.workers.worker_process import Work, WorkerDied, WorkerProcess

CHUNK = 4
"""Images that a worker takes at a time: enough to hide the hand-over, few enough to share the work evenly."""

IN_FLIGHT = 128
"""Chunks that may always be in flight, so that few workers, too, have enough to do while the consumer imports Keras."""

CHUNKS_PER_WORKER = 16
"""Chunks per worker that are in flight at most, which bounds memory however slow the consumer is."""

_ALONE, _ALONE_IF_KILLED = 2, 4
"""Fresh processes that an image has to kill, with nothing else to do, before it is called crashed; and if they did not
die of a decoder's mistake but were killed, as the system does that is out of memory, and anybody may."""

_STORM = 10
"""Processes that die in a row before they are ready, or for one image by no fault of its own; and images in a row that
may have crashed by the machine's fault, or ours."""


def annotate_each(chunk: list[ImageFile], settings: WorkerSettings) -> Iterable[Result | Waiting]:
    """Import OpenCV in the process that needs it; a run with nothing new does without."""
    from batch.workers.worker import annotate_each

    return annotate_each(chunk, settings)


def annotate_images(
    images: Iterable[ImageFile], settings: WorkerSettings, jobs: int, work: Work = annotate_each
) -> Generator[Result, None, None]:
    """What became of each image, in the order of ``images``, by ``jobs`` processes; by this one if it is 0.

    Only an image that kills fresh processes with nothing else to do, two at least, or takes too long in one, gets the
    status CRASHED; all others are done all the same. Within this process nobody survives such an image.
    Raises WorkersError if processes die by no fault of an image.
    """
    if jobs == 0:
        for chunk in chain([[]], batched(images, CHUNK)):
            for result in work(chunk, settings):
                if isinstance(result, Waiting):
                    say(result)
                else:
                    yield result
        return
    waiting: deque[Future[list[Result]]] = deque()
    with _crew(settings, work, jobs) as (crew, threads):
        for chunk in batched(images, CHUNK):
            waiting.append(threads.submit(crew.do, chunk))
            while waiting and (len(waiting) >= max(CHUNKS_PER_WORKER * jobs, IN_FLIGHT) or waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


def believed(results: Iterable[Result]) -> Generator[Result, None, None]:
    """Pass results on, doubtful ones once another shows that the workers are sound.

    Raises WorkersError if many in a row are doubtful: that is the machine's fault, or ours, and no image's.
    """
    held: list[Outcome] = []
    for result in results:
        if isinstance(result, Outcome) and result.doubtful:
            held.append(result)
            if len(held) == _STORM:
                root, path = held[0].found.key
                raise WorkersError(
                    f"{_STORM} images in a row cannot be worked on, from {root}/{path} on: {held[-1].error}. That is "
                    "hardly their fault; none of them is recorded. Is there too little memory? Do other programs end "
                    "the workers? Does --exclude help?"
                )
        else:
            yield from held
            held.clear()
            yield result
    yield from held


@contextmanager
def _crew(settings: WorkerSettings, work: Work, jobs: int) -> Iterator[tuple["Crew", ThreadPoolExecutor]]:
    crew, threads = Crew(settings, work), ThreadPoolExecutor(jobs, "worker")
    try:
        yield crew, threads
    finally:
        crew.close()
        threads.shutdown(cancel_futures=True)


class Crew:
    """Threads with a worker process each, started where it is needed."""

    def __init__(self, settings: WorkerSettings, work: Work) -> None:
        self._settings, self._work = settings, work
        self._own = threading.local()
        self._lock, self._closed = threading.Lock(), threading.Event()
        self._processes: set[WorkerProcess] = set()
        self._stillborn = 0

    def do(self, chunk: list[ImageFile]) -> list[Result]:
        """What became of the images of a chunk, in order, by this thread's process, and others if it dies."""
        results: list[Result] = []
        while len(results) < len(chunk):
            process: WorkerProcess = getattr(self._own, "process", None) or self._started()
            try:
                for result in process.results(chunk[len(results) :]):
                    results.append(result)
            except WorkerDied as death:
                self._buried(process)
                if len(results) < len(chunk):
                    results.append(self._alone(chunk[len(results)], death))
        return results

    def close(self) -> None:
        """End all processes, so that all threads come back."""
        self._closed.set()
        with self._lock:
            for process in self._processes:
                process.kill()

    def _alone(self, found: ImageFile, death: WorkerDied) -> Result:
        """What becomes of an image under whose hands a process died, in fresh ones that have nothing else to do."""
        deaths = strays = 0
        while deaths < (_ALONE if death.by_decoder else _ALONE_IF_KILLED):
            late = death.was_late(self._settings.image_timeout)
            limit = f"--image-timeout {self._settings.image_timeout:g} seconds"
            if (late or death.frozen) and disk_hangs(found):
                return Setback(found, f"its disk does not answer; reading it took longer than {limit}")
            if late:
                return Outcome(found, Status.CRASHED, f"reading it took longer than {limit}")
            if not death.by_decoder:
                self._closed.wait(deaths)  # whoever kills processes may be done in a moment
            process = self._started()
            try:
                [result] = process.results([found])
                return result
            except WorkerDied as again:
                self._buried(process)
                death = again
                deaths, strays = (deaths, strays + 1) if death.from_outside else (deaths + 1, strays)
                if strays == _STORM:
                    raise WorkersError(
                        f"Somebody ends the worker processes ({death}). What is done is kept."
                    ) from death
        reason = f"the process that decoded it died ({death}), and {deaths} more; the image is probably damaged"
        return Outcome(found, Status.CRASHED, reason, doubtful=not death.by_decoder)

    def _started(self) -> WorkerProcess:
        """A fresh process, from now on this thread's; raises WorkersError if none comes to life."""
        while not self._closed.is_set():
            try:
                process = WorkerProcess(self._work, self._settings)
            except (WorkerDied, OSError) as error:
                self._count_stillborn(error)
                continue
            with self._lock:
                self._stillborn = 0
                self._processes.add(process)
            if self._closed.is_set():
                process.kill()
            self._own.process = process
            return process
        raise WorkersError("The run is over.")

    def _buried(self, process: WorkerProcess) -> None:
        with self._lock:
            self._processes.discard(process)
        self._own.process = None
        if self._closed.is_set():
            raise WorkersError("The run is over.")

    def _count_stillborn(self, error: Exception) -> None:
        with self._lock:
            self._stillborn += 1
            storm = self._stillborn >= _STORM
        if storm:
            raise WorkersError(
                f"Worker processes die before they are ready, {_STORM} in a row (the last: {error}). "
                "Is there too little memory, or a limit on processes or open files (ulimit), or does another program "
                "end them? What is done is kept."
            ) from error
        self._closed.wait(0.2 * self._stillborn)


def batched(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Lists of ``size`` items, the last one maybe shorter (``itertools.batched``, which Python 3.11 lacks)."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
