"""Workers on a Dask cluster in place of processes of this machine, by joblib's own backend. Imports Dask."""

import hashlib
import multiprocessing
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker
from joblib import Parallel, delayed, parallel_config, register_parallel_backend
from joblib._dask import DaskDistributedBackend
from joblib.externals.loky.process_executor import TerminatedWorkerError

from batch.errors import ClusterError, DetectorError, NetworkError, RootError
from batch.outcome import ImageFile, Outcome, Result, Status
from batch.roots import open_root
from batch.settings import WorkerSettings
from batch.workers.pool import CHUNK, CHUNKS_PER_WORKER, IN_FLIGHT, batched

_PATIENCE = 10
"""Seconds that scheduler and workers have to answer."""

# What a run that is interrupted has done beyond what it has recorded is done again, which is no news for anybody.
warnings.filterwarnings("ignore", r"\d+ tasks (have been|which were)", module="joblib")


def annotate_chunk(chunk: list[ImageFile], settings: WorkerSettings) -> list[Result]:
    """Import OpenCV in the process that needs it; the one that gave the command does without."""
    from batch.workers.worker import annotate_chunk

    return annotate_chunk(chunk, settings)


class _SurvivingBackend(DaskDistributedBackend):
    """joblib's backend, which would wait for ever for a task on which workers die, and keep a sole worker idle."""

    def submit(self, func: Any, callback: Callable[[Any], None] | None = None) -> "Future[Any]":
        """Tell joblib of the tasks that Dask gives up, too."""
        future: Future[Any] = super().submit(func, callback)

        def tell(done: "Future[Any]") -> None:
            if callback is not None and done.exception() is not None:
                callback(done.exception())

        future.add_done_callback(tell)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the task returned; raises TerminatedWorkerError if workers die on it, as joblib's own processes do."""
        if isinstance(out, KilledWorker):
            raise TerminatedWorkerError(str(out))
        if isinstance(out, BaseException) or not isinstance(out, list):
            raise ClusterError(f"The connection to the cluster was lost: {out}")
        return super().retrieve_result_callback(out)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Two at least: what one job has to do joblib would do here."""
        return max(2, int(super().effective_n_jobs(n_jobs)))


def annotate_on_cluster(
    images: Iterable[ImageFile], settings: WorkerSettings, workers: int
) -> Generator[Result, None, None]:
    """What became of each image, in the order of ``images``, by the ``workers`` that ``cluster_workers`` gives.

    An image on which workers die gets the status CRASHED; the other images of its chunk are done all the same.
    """
    for wave in batched(batched(images, CHUNK), max(CHUNKS_PER_WORKER * workers, IN_FLIGHT)):
        yield from _outcomes(wave, settings, workers)


def _outcomes(chunks: list[list[ImageFile]], settings: WorkerSettings, workers: int) -> Iterator[Result]:
    """Do some chunks; after a crash do the rest again, in ever smaller parts, until it is known which image it was."""
    done = 0
    try:
        for results in Parallel(workers, return_as="generator")(delayed(annotate_chunk)(c, settings) for c in chunks):
            done += 1
            yield from results
    except TerminatedWorkerError:
        rest = chunks[done:]
        if len(rest) == 1 and len(rest[0]) == 1:
            reason = "the processes that decoded it died, or took longer than --image-timeout; it is probably damaged"
            yield Outcome(rest[0][0], Status.CRASHED, reason, doubtful=True)
            return
        for part in _parts(rest, 2 * workers):
            yield from _outcomes(part, settings, workers)


def _parts(chunks: list[list[ImageFile]], in_flight: int) -> list[list[list[ImageFile]]]:
    """Those that were probably in flight apart from those behind them; then each on its own; then halves of one."""
    if len(chunks) > in_flight:
        return [chunks[:in_flight], chunks[in_flight:]]
    if len(chunks) > 1:
        return [[chunk] for chunk in chunks]
    [chunk] = chunks
    half = len(chunk) // 2
    return [[chunk[:half]], [chunk[half:]]]


@contextmanager
def cluster_workers(address: str, roots: tuple[Path | str, ...], settings: WorkerSettings) -> Iterator[int]:
    """Let joblib use the workers of the Dask scheduler at ``address``; gives how many there are.

    Raises ClusterError if none answer, or one of them cannot do the work.
    """
    register_parallel_backend("surviving_dask", _SurvivingBackend)
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No Dask scheduler answers at {address}: {error}") from error
    with client:
        workers = _checked(client, address, roots, settings)
        with parallel_config(backend="surviving_dask", client=client):
            yield workers


def _checked(client: Client, address: str, roots: tuple[Path | str, ...], settings: WorkerSettings) -> int:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise ClusterError(f"The scheduler at {address} has no workers. Start some: dask worker {address}") from error
    seen = {root.name: root.landmark() for root in map(open_root, roots)}
    answers = client.run(_problem, seen, version("emotion-annotate"), settings, _files(settings), on_error="return")
    for worker, answer in answers.items():
        if answer is not None:
            install = ". Install emotion-annotate there, too" if isinstance(answer, ModuleNotFoundError) else ""
            raise ClusterError(f"The worker {worker} cannot do the work: {answer}{install}.")
    for worker, threads in client.ncores().items():
        if threads != 1:
            raise ClusterError(f"The worker {worker} has {threads} threads; OpenCV wants --nthreads 1.")
    return len(answers)


def _problem(seen: dict[str, str], expected: str, settings: WorkerSettings, files: dict[str, str]) -> str | None:
    """Why this worker cannot do the work; ``seen`` has a landmark of each root."""
    if multiprocessing.current_process().name == "MainProcess":
        return "nobody would start it again after a crash, as it runs with --no-nanny"
    if version("emotion-annotate") != expected:
        return f"it has version {version('emotion-annotate')} of emotion-annotate, and not {expected}"
    try:
        for file, sha256 in _files(settings).items():
            if files[file] != sha256:
                return f"its {file} is another file"
        hidden = [root for root, landmark in seen.items() if not open_root(root).sees(landmark)]
    except (DetectorError, NetworkError, RootError) as error:
        return str(error).rstrip(".")
    return f"it does not see the photographs in {hidden[0]}. Perhaps its disk is not mounted there" if hidden else None


def _files(settings: WorkerSettings) -> dict[str, str]:
    """The files that a worker needs, and what is in them; raises DetectorError or NetworkError."""
    settings.detector.identity()
    networks = settings.networks and (settings.networks.emotions, settings.networks.verifier)
    detector = settings.detector
    wanted = (detector.model if detector.spec.origin else detector.glance, *(networks or ()))
    missing = [file for file in wanted if file and not file.is_file()]
    if missing:
        raise NetworkError(f"No network at {missing[0]}.")
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in wanted if file}
