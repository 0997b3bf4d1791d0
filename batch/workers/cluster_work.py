"""What a worker of a Dask cluster does: it sees whether it can, and has a process of its own do the images."""

import hashlib
import multiprocessing
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from uuid import uuid4

import batch
from batch.errors import ClusterError, DetectorError, NetworkError, RootError
from batch.outcome import ImageFile, Result
from batch.roots import open_root
from batch.settings import WorkerSettings
from batch.workers.pool import Crew, annotate_each


@dataclass(frozen=True)
class ClusterRun:
    """What a worker is told of a run, and what it must have in common with the one who started it."""

    settings: WorkerSettings
    landmarks: tuple[tuple[str, str], ...]
    """Each root, and what is to be seen in it."""
    files: tuple[tuple[str, str], ...]
    """Each file that is needed, and its SHA-256."""
    version: str
    name: str
    """Of this run alone: each has processes of its own."""


def run_of(settings: WorkerSettings, roots: tuple[Path | str, ...]) -> ClusterRun:
    """What workers are told of a run that is begun here."""
    landmarks = tuple((root.name, root.landmark()) for root in map(open_root, roots))
    return ClusterRun(settings, landmarks, _files(settings), _revision(), uuid4().hex)


def annotate_chunk(chunk: list[ImageFile], run: ClusterRun) -> list[Result]:
    """What became of each image, in order; raises ClusterError if this worker cannot do the work."""
    return _crew(run).do(chunk)


@lru_cache(maxsize=2)  # two runs may share a cluster
def _crew(run: ClusterRun) -> Crew:
    """The processes of this worker, one for each of its threads; they end with it, or once nobody keeps them."""
    problem = _problem(run)
    if problem:
        from distributed import get_worker

        raise ClusterError(f"The worker {get_worker().address} cannot do the work: {problem}.")
    multiprocessing.current_process().daemon = False  # a nanny's daemon may have no children
    return Crew(run.settings, annotate_each)


def _problem(run: ClusterRun) -> str | None:
    """Why this worker cannot do the work."""
    if _revision() != run.version:
        return f"it has version {_revision()} of emotion-annotate, and not {run.version}"
    try:
        for (file, here), (_, there) in zip(_files(run.settings), run.files, strict=True):
            if here != there:
                return f"its {file} is another file"
        hidden = [root for root, landmark in run.landmarks if not open_root(root).sees(landmark)]
    except (DetectorError, NetworkError, RootError) as error:
        return str(error).rstrip(".")
    return f"it does not see the photographs in {hidden[0]}. Perhaps its disk is not mounted there" if hidden else None


def _revision() -> str:
    """The version, and a checksum of the code in ``batch``: checkouts of several revisions may say the same version."""
    files = sorted(Path(batch.__file__).parent.rglob("*.py"))
    code = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return f"{version('emotion-annotate')} ({code.hexdigest()[:8]})"


def _files(settings: WorkerSettings) -> tuple[tuple[str, str], ...]:
    """The files that a worker needs, and what is in them; raises DetectorError or NetworkError."""
    settings.detector.identity()
    networks = settings.networks and (settings.networks.emotions, settings.networks.verifier)
    detector = settings.detector
    wanted = (detector.model if detector.spec.origin else detector.glance, *(networks or ()))
    missing = [file for file in wanted if file and not file.is_file()]
    if missing:
        raise NetworkError(f"No network at {missing[0]}.")
    return tuple((str(file), hashlib.sha256(file.read_bytes()).hexdigest()) for file in wanted if file)
