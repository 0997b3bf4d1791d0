"""The annotation job: the way of the data from folders of photographs to published tables, once through."""

import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from batch.errors import ClusterError, OutputError
from batch.outcome import Found, Outcome
from batch.pictures.crop_files import CropFiles
from batch.pictures.drawn_copies import DrawnCopies
from batch.plan import Plan
from batch.roots import open_root
from batch.roots.walk import WalkSettings
from batch.settings import DetectorSettings, WorkerSettings
from batch.tables.checkpoints import Checkpoints
from batch.tables.files import write_durably
from batch.tables.lock import hold
from batch.tables.publish import finish_publishing, merged_faces, merged_images, publish
from batch.tables.schema import SCHEMA_VERSION, faces_schema
from batch.tables.snapshot import Snapshot, known_images, read_snapshot
from batch.workers.pool import annotate_images
from jobs.annotation.run_report import RunReport
from model.bundle import EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL, ModelCard, read_card
from model.errors import ModelError
from model.labels import NEUTRAL

log = logging.getLogger("annotate.job")


@dataclass(frozen=True)
class AnnotationSettings:
    """Everything that a run of ``annotate`` is told. Roots are absolute paths, or as the output writes them."""

    roots: tuple[Path | str, ...]
    output: Path = Path("annotations")
    csv: bool = False
    jobs: int = 1
    batch_size: int = 64
    model: Path = EMOTION_MODEL
    device: str = "auto"
    without_neutral: bool = False
    worker: WorkerSettings = WorkerSettings(DetectorSettings(model=GLANCE_MODEL))
    walk: WalkSettings = WalkSettings()
    cluster: str | None = None
    """Address of a Dask scheduler whose workers do what ``jobs`` processes of this machine would."""
    limit: int | None = None
    retry_failed: bool = False
    rescan: bool = False
    prune: bool = False
    crops: Path | None = None
    """Folder for a crop of each face, in a folder of its emotion."""
    draw: Path | None = None
    """Folder for copies of the photographs with their faces boxed and labelled."""


class AnnotationJob:
    """One run: what the output holds already, what there is to do, and how it is done."""

    def __init__(self, settings: AnnotationSettings, report: RunReport) -> None:
        """Read the model's labels and the output's state; raises ModelError or OutputError."""
        self.settings, self.report = settings, report
        self.card: ModelCard = read_card(settings.model)
        _check_labels(self.card)
        detector = settings.worker.detector
        self.verifier = read_card(FACE_MODEL) if detector.verified else None
        self.labels = tuple(x for x in self.card.labels if x != NEUTRAL or not settings.without_neutral)
        self.identity = {
            "schema": SCHEMA_VERSION,
            "model": self.card.sha256,
            "labels": list(self.labels),
            "detector": detector.identity() | ({"verifier": self.verifier.sha256} if self.verifier else {}),
        }
        self.snapshot: Snapshot = read_snapshot(settings.output)
        self.checkpoints = Checkpoints(settings.output, self.identity, self.labels)
        parent = Path(os.path.commonpath([open_root(root).place for root in settings.roots]))
        self.pictures = [
            kind(folder, parent, self.labels)
            for kind, folder in ((CropFiles, settings.crops), (DrawnCopies, settings.draw))
            if folder is not None
        ]
        published = known_images([self.snapshot.images] if self.snapshot.identity else [])
        self.plan = Plan(
            settings.roots,
            settings.walk,
            {**(published if self._same_identity else {}), **known_images(self.checkpoints.images())},
            frozenset(key.root for key in published),
            settings.limit,
            settings.rescan,
            settings.retry_failed,
            settings.prune,
        )

    def run(self) -> None:
        """Annotate what is new, record it as it comes, publish it at the end."""
        if self.settings.rescan:
            self.checkpoints.clear()
        try:
            for outcome in self._annotated():
                for pictures in self.pictures:
                    with self.report.stage("draw"):
                        pictures.write(outcome)
                self.checkpoints.add(outcome)
                self.report.add(outcome, self._emotions(outcome))
        finally:
            with self.report.stage("record"):
                self.checkpoints.write()
        for folder, reason in self.plan.unlistable.items():
            log.warning("cannot list %s: %s; the rows of its images are kept", folder, reason)
        with self.report.stage("publish"):
            rows = self._publish()
        if rows:
            self._write_run(rows)

    def preview(self) -> None:
        """Walk the roots and say what a run would do."""
        for _ in self.plan:
            pass
        plan = self.plan
        log.info("dry run: %d images found, %d new, %d changed or to do again", plan.found, plan.new, plan.changed)
        log.info("dry run: %d deleted, %d left for later by --limit", len(plan.deleted), plan.left_over)

    @property
    def _same_identity(self) -> bool:
        return self.snapshot.identity == self.identity

    def _annotated(self) -> Iterator[Outcome]:
        """Every image of the plan with its faces' probabilities. Keras is imported while the workers already work."""
        settings = self.settings
        outcomes = self.report.watch(self.plan, self._read)
        first = next(outcomes, None)
        if first is None:
            return
        from jobs.annotation.face_networks import NetworkSettings, annotated_faces

        networks = NetworkSettings(
            self.card,
            self.verifier,
            settings.batch_size,
            settings.worker.detector,
            settings.device,
            settings.without_neutral,
        )
        yield from annotated_faces(itertools.chain([first], outcomes), networks, self.report)

    def _read(self, images: Iterable[Found]) -> Iterator[Outcome]:
        """What the workers make of the images, here or on a cluster, which is looked for once there is an image."""
        settings, stream = self.settings, iter(images)
        first = next(stream, None)
        if first is None:
            return
        with _cluster(settings.cluster, settings) if settings.cluster else nullcontext(settings.jobs) as jobs:
            yield from annotate_images(itertools.chain([first], stream), settings.worker, jobs)

    def _emotions(self, outcome: Outcome) -> list[str]:
        probabilities = outcome.probabilities
        return [] if probabilities is None else [self.labels[i] for i in probabilities.argmax(axis=1)]

    def _publish(self) -> dict[str, int] | None:
        """Publish new tables, if anything in them has changed and nothing of them is still missing; their rows."""
        output, new = self.settings.output, self.checkpoints.images()
        csv = self.settings.csv or (output / "faces.csv").exists()
        csv_missing = self.settings.csv and not (output / "faces.csv").exists()
        if self._same_identity and not new and not self.plan.deleted and not csv_missing:
            log.info("nothing new: %d images are all known", self.plan.found)
            if self.pictures:
                log.warning("--crops and --draw show images annotated in this run; for all of them say --rescan")
            return None
        if self.snapshot.identity and not self._same_identity and self.plan.left_over:
            log.info("%d images are still to do before the new tables replace the old ones", self.plan.left_over)
            return None
        old = (self.snapshot.images, self.snapshot.faces) if self._same_identity else (None, None)
        images = merged_images(old[0], new, self.plan.deleted)
        faces = merged_faces(old[1], self.checkpoints.faces(), self.plan.deleted, new, self.labels)
        publish(output, images, faces, self.identity, self.snapshot.generation + 1, csv)
        self.checkpoints.clear()
        return {"images": len(images), "faces": len(faces)}

    def _write_run(self, rows: dict[str, int]) -> None:
        """Write run.json: what this run did, how long it took, and what made the tables."""
        unlistable = self.plan.unlistable
        facts = {**self.report.as_json(), "identity": self.identity, "rows": rows, "unlistable_folders": unlistable}
        text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
        write_durably(self.settings.output / "run.json", lambda file: file.write(text.encode()))


@contextmanager
def annotation_job(settings: AnnotationSettings, report: RunReport, dry_run: bool = False) -> Iterator[AnnotationJob]:
    """Hold the output and look at what it has and what there is to do; a dry run does not make the output.

    Raises RootError, OutputError, OutputHeld, ModelError, DeviceError, DetectorError or ClusterError, here and during
    the run, for what a person can mend.
    """
    with nullcontext() if dry_run and not settings.output.exists() else hold(settings.output):
        finish_publishing(settings.output)
        job = AnnotationJob(settings, report)
        _check_other_roots(job)
        yield job


def _cluster(address: str, settings: AnnotationSettings) -> AbstractContextManager[int]:
    """Import Dask, which few need; raises ClusterError if it is missing."""
    try:
        from batch.workers.cluster import cluster_workers
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error}. Install the extra: pip install 'emotion-annotate[cluster]'") from error
    return cluster_workers(address, settings.roots, settings.worker.detector)


def _check_labels(card: ModelCard) -> None:
    """Raise ModelError if a label has the name of another column, or cannot be the name of a folder."""
    taken = {*faces_schema(()).names} & {*card.labels}
    if taken:
        raise ModelError(f"{card.path}: {', '.join(sorted(taken))} cannot be a label, as a column has that name.")
    for label in card.labels:
        if "/" in label or "\0" in label or label.startswith("."):
            raise ModelError(f"{card.path}: {label!r} cannot be a label: expected a name without / and leading dots.")


def _check_other_roots(job: AnnotationJob) -> None:
    """An output has one identity: images of roots that are not named now cannot be annotated anew now."""
    if job.snapshot.identity in (None, job.identity) or job.settings.prune:
        return
    here = {open_root(root).name for root in job.settings.roots}
    others = sorted(job.plan.filled_roots - here)
    if others:
        raise OutputError(
            f"{job.settings.output} was made with another model or other detector settings and also holds images of "
            f"{', '.join(others)}. Name these roots as well, use another output, or say --prune to drop their rows."
        )
