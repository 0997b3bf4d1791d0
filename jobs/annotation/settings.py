"""What a run of ``annotate`` is told."""

from dataclasses import dataclass
from pathlib import Path

from batch.roots.walk import WalkSettings
from batch.settings import DetectorSettings, WorkerSettings
from batch.tables.moves import Move
from model.bundle import EMOTION_MODEL, GLANCE_MODEL


@dataclass(frozen=True)
class AnnotationSettings:
    """Everything that a run of ``annotate`` is told. Roots are absolute paths, or as the output writes them."""

    roots: tuple[Path | str, ...]
    output: Path = Path("annotations")
    csv: bool = False
    jobs: int | None = 1
    """Worker processes, None for as many as cores; 0 works in this one, where an image cannot crash or hang alone."""
    batch_size: int = 64
    model: Path = EMOTION_MODEL
    device: str = "auto"
    without_neutral: bool = False
    worker: WorkerSettings = WorkerSettings(DetectorSettings(glance=GLANCE_MODEL))
    walk: WalkSettings = WalkSettings()
    photographs: tuple[str, ...] = ()
    """Single ones, as ``roots`` are written; ``jobs.annotation.photographs`` finds the roots that they are of."""
    cluster: str | None = None
    """Address of a Dask scheduler whose workers do what ``jobs`` processes of this machine would."""
    cluster_timeout: float = 300.0
    """Seconds that a cluster is waited for which has no workers, or whose scheduler does not answer."""
    limit: int | None = None
    retry_failed: bool = False
    rescan: bool = False
    prune: bool = False
    crops: Path | None = None
    """Folder for a crop of each face, in a folder of its emotion."""
    draw: Path | None = None
    """Folder for copies of the photographs with their faces boxed and labelled."""
    moved: tuple[Move, ...] = ()
    """Roots that the output knows by other names than they have now."""

    @property
    def processes(self) -> int:
        """``jobs``, or the cores as joblib counts them on every system, affinity and containers heeded."""
        if self.jobs is not None:
            return self.jobs
        from joblib import cpu_count  # takes a tenth of a second, which a run with nothing new does without

        return int(cpu_count())
