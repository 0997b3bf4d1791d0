"""Workers on a Dask cluster in place of processes of this machine, by joblib's own backend. Imports Dask."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from distributed import Client, KilledWorker
from joblib import parallel_config, register_parallel_backend
from joblib._dask import DaskDistributedBackend
from joblib.externals.loky.process_executor import TerminatedWorkerError

from batch.errors import ClusterError, DetectorError, RootError
from batch.roots import open_root
from batch.settings import DetectorSettings

_PATIENCE = 10
"""Seconds that scheduler and workers have to answer."""


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


@contextmanager
def cluster_workers(address: str, roots: tuple[Path | str, ...], detector: DetectorSettings) -> Iterator[int]:
    """Let joblib use the workers of the Dask scheduler at ``address``; gives how many there are.

    Raises ClusterError if none answer, or one of them cannot do the work.
    """
    register_parallel_backend("surviving_dask", _SurvivingBackend)
    try:
        client = Client(address, timeout=_PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ClusterError(f"No Dask scheduler answers at {address}: {error}") from error
    with client:
        workers = _checked(client, address, roots, detector)
        with parallel_config(backend="surviving_dask", client=client):
            yield workers


def _checked(client: Client, address: str, roots: tuple[Path | str, ...], detector: DetectorSettings) -> int:
    try:
        client.wait_for_workers(1, timeout=_PATIENCE)
    except TimeoutError as error:
        raise ClusterError(f"The scheduler at {address} has no workers. Start some: dask worker {address}") from error
    seen = {root.name: root.landmark() for root in map(open_root, roots)}
    answers = client.run(_problem, seen, version("emotion-annotate"), detector, detector.identity(), on_error="return")
    for worker, answer in answers.items():
        if answer is not None:
            install = ". Install emotion-annotate there, too" if isinstance(answer, ModuleNotFoundError) else ""
            raise ClusterError(f"The worker {worker} cannot do the work: {answer}{install}.")
    for worker, threads in client.ncores().items():
        if threads != 1:
            raise ClusterError(f"The worker {worker} has {threads} threads; OpenCV wants --nthreads 1.")
    return len(answers)


def _problem(seen: dict[str, str], expected: str, detector: DetectorSettings, identity: dict[str, Any]) -> str | None:
    """Why this worker cannot do the work; ``seen`` has a landmark of each root."""
    if multiprocessing.current_process().name == "MainProcess":
        return "nobody would start it again after a crash, as it runs with --no-nanny"
    if version("emotion-annotate") != expected:
        return f"it has version {version('emotion-annotate')} of emotion-annotate, and not {expected}"
    try:
        if detector.identity() != identity:
            return f"its {detector.model} is another file"
        hidden = [root for root, landmark in seen.items() if not open_root(root).sees(landmark)]
    except (DetectorError, RootError) as error:
        return str(error).rstrip(".")
    return f"it does not see the photographs in {hidden[0]}. Perhaps its disk is not mounted there" if hidden else None
