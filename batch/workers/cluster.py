"""Workers on a Dask cluster in place of processes of this machine, by joblib's own backend. Imports Dask."""

import asyncio
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker, Security, rpc
from joblib import Parallel, delayed
from joblib._dask import DaskDistributedBackend

from batch.errors import ClusterError
from batch.outcome import ImageFile, Result, Setback
from batch.settings import WorkerSettings
from batch.workers.cluster_watch import Watch
from batch.workers.cluster_work import ClusterRun, annotate_chunk, run_of
from batch.workers.pool import CHUNK, CHUNKS_PER_WORKER, IN_FLIGHT, batched

_PATIENCE = 10
"""Seconds that a scheduler has to answer."""

# What a run that is interrupted has done beyond what it has recorded is done again, which is no news for anybody.
warnings.filterwarnings("ignore", r"\d+ tasks (have been|which were)", module="joblib")


class _SurvivingBackend(DaskDistributedBackend):
    """joblib's backend, which would wait for ever for tasks that Dask gives up, and keep a sole worker idle."""

    def __init__(self, client: Client, watch: Watch) -> None:
        super().__init__(client=client)
        self._watch = watch

    def submit(self, func: Any, callback: Callable[[Any], None]) -> "Future[Any]":
        """Tell joblib, once, how a task has ended, also if it was given up by Dask or by the watch."""
        future: Future[Any] = super().submit(func, lambda _: None)
        future.add_done_callback(lambda done: callback(done.exception() or done.result()))
        self._watch.waits_for(future)
        return future

    def retrieve_result_callback(self, out: Any) -> Any:
        """What the task returned, or why there is nothing by no fault of its own, while others may be done.

        Raises what the task has raised.
        """
        if isinstance(out, (KilledWorker, ClusterError)):
            return [out]
        if isinstance(out, CancelledError):
            return [self._watch.lost()]
        if isinstance(out, BaseException):
            install = ". Install emotion-annotate there, too" if isinstance(out, ModuleNotFoundError) else ""
            raise ClusterError(f"The cluster cannot do the work: {' '.join(str(out).split())}{install}.")
        return super().retrieve_result_callback(out)

    def effective_n_jobs(self, n_jobs: int) -> int:
        """Two at least: what one job has to do joblib would do here."""
        return max(2, n_jobs)


def annotate_on_cluster(
    images: Iterable[ImageFile], settings: WorkerSettings, roots: tuple[Path | str, ...], address: str, patience: float
) -> Generator[Result, None, None]:
    """What became of each image, in the order of ``images``, by the workers of the Dask scheduler at ``address``.

    Each has a process of its own for the images, as workers of this machine are, so that one which kills it gets the
    status CRASHED. Images whose workers are ended again and again become Setbacks. Raises ClusterError if there is no
    scheduler, it is lost, has no worker for ``patience`` seconds, or one of them cannot do the work.
    """
    with _connected(address) as client, Watch(client, address, patience) as watch:
        run = run_of(settings, roots)
        for wave in batched(batched(images, CHUNK), max(CHUNKS_PER_WORKER * watch.workers, IN_FLIGHT)):
            yield from _results(wave, run, _SurvivingBackend(client, watch))


def _results(chunks: list[list[ImageFile]], run: ClusterRun, backend: _SurvivingBackend) -> Iterator[Result]:
    """What became of the images of some chunks; if the cluster is lost, that is raised after all that was done."""
    lost = None
    parallel = Parallel(2, backend=backend, batch_size=1, pre_dispatch="all", return_as="generator")
    done = parallel(delayed(annotate_chunk)(chunk, run) for chunk in chunks)
    for chunk, results in zip(chunks, done, strict=True):
        if isinstance(results, ClusterError):
            lost = results
        elif isinstance(results, KilledWorker):
            yield from (Setback(found, "the cluster's workers ended that were given it") for found in chunk)
        else:
            yield from results
    if lost:
        raise lost


@contextmanager
def _connected(address: str) -> Iterator[Client]:
    with ThreadPoolExecutor(1) as thread:  # a notebook has a loop of its own in this one
        try:
            kind = thread.submit(asyncio.run, _kind_of(address)).result()
        except Exception as error:  # each protocol has errors of its own, and so has each server that is none of Dask's
            why = f"within {_PATIENCE} s" if isinstance(error, TimeoutError) else f"({' '.join(str(error).split())})"
            raise ClusterError(
                f"No Dask scheduler answers at {address} {why}. Is it running, and is that its address? One is started "
                "by: dask scheduler"
            ) from error
    if kind != "Scheduler":
        raise ClusterError(f"No Dask scheduler answers at {address}, but a Dask {kind}. Name the scheduler's address.")
    with Client(address, timeout=_PATIENCE, set_as_default=False) as client:
        yield client


async def _kind_of(address: str) -> str:
    """What answers there; ``Client`` would wait for ever for what listens and says nothing."""
    async with (
        asyncio.timeout(_PATIENCE),
        rpc(address, connection_args=Security().get_connection_args("client")) as remote,
    ):
        return str((await remote.identity())["type"])
