"""The annotation job: the way of the data from folders of photographs to published tables, once through."""

import itertools
import json
import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import cast

from batch.errors import ClusterError, OutputError, UnreadError
from batch.outcome import Found, Outcome, Result, Setback, Status
from batch.plan import Plan
from batch.roots import open_root
from batch.settings import WorkerSettings
from batch.tables.checkpoints import Checkpoints
from batch.tables.files import write_durably
from batch.tables.lock import hold
from batch.tables.merge import Source, merge
from batch.tables.publish import finish_publishing, publish
from batch.tables.rows import Columns
from batch.tables.schema import IMAGES, SCHEMA_VERSION, faces_schema
from batch.tables.snapshot import (
    KnownImage,
    Snapshot,
    known_images,
    published_roots,
    read_snapshot,
    with_stale_images,
)
from batch.workers.patience import Patience
from batch.workers.pool import annotate_images, believed
from jobs.annotation.outputs import changes, check_labels, check_nested, check_other_roots
from jobs.annotation.photographs import with_photographs
from jobs.annotation.places import NetworkSettings, worker_networks
from jobs.annotation.run_report import RunReport
from jobs.annotation.said import say_none_found, say_nothing_new, say_what_goes, say_what_there_is
from jobs.annotation.settings import AnnotationSettings
from model.bundle import FACE_MODEL, ModelCard, read_card
from model.extras import without_matplotlib
from model.labels import NEUTRAL

log = logging.getLogger("annotate.job")

_TIMES_DAMAGED = 3
"""Checkpoints that are damaged again and again are not waited for."""
_MOVED = "its folder has vanished, is empty, or lies on another disk than when it was listed"


class AnnotationJob:
    """One run: what the output holds already, what there is to do, and how it is done."""

    def __init__(self, settings: AnnotationSettings, report: RunReport) -> None:
        """Read the model's labels and the output's state; raises ModelError or OutputError."""
        self.settings, self.report = settings, report
        self.card: ModelCard = read_card(settings.model)
        check_labels(self.card)
        detector = settings.worker.detector
        self.verifier = read_card(FACE_MODEL) if detector.spec.verified else None
        self.labels = tuple(x for x in self.card.labels if x != NEUTRAL or not settings.without_neutral)
        self.identity = {
            "schema": SCHEMA_VERSION,
            "model": self.card.sha256,
            "labels": list(self.labels),
            "detector": detector.identity() | ({"verifier": self.verifier.sha256} if self.verifier else {}),
        }
        self.snapshot: Snapshot = read_snapshot(settings.output)
        self.checkpoints = Checkpoints(settings.output, self.identity, self.labels)
        self._added = 0
        self.rows: dict[str, int] | None = None
        """How many images and faces the tables hold after a run that has changed them."""
        self.plan = self._planned()

    def run(self) -> None:
        """Annotate what is new, record it as it comes, publish it at the end; raises UnreadError after that.

        What a damaged checkpoint has lost is done again at once.
        """
        with self.report.stage("record"):
            self.checkpoints.compact()
        unread = self._record()
        for _ in range(_TIMES_DAMAGED):
            with self.report.stage("publish"):
                damaged = self.checkpoints.put_aside()
            if not damaged:
                break
            self.plan = self._planned()
            unread = self._record()
        say_what_goes(self.plan)
        if not self.plan.found:
            say_none_found(self.plan)
        self.report.show("writing the tables")
        with self.report.stage("publish"):
            rows = self._publish()
        if rows:
            self._write_run(rows)
        self.rows = rows
        self._write_pictures()
        if unread:
            first = unread[0]
            raise UnreadError(
                f"{len(unread)} images could not be read, which says nothing about them: {'/'.join(first.found.key)}: "
                f"{first.reason}. Whatever could be annotated is; the next run tries them again. Is the disk sound and "
                "mounted, the server up, the limit on open files (ulimit -n) high enough?"
            )

    def _record(self) -> list[Setback]:
        """Annotate what the plan says and record it; what could not be read for now."""
        patience = Patience(self._read)
        self._added = 0
        try:
            for outcome in self._annotated(patience):
                self.checkpoints.add(outcome)
                self._added += self.plan.adds_row(outcome.found.key)
                self.report.add(outcome, self._emotions(outcome))
        finally:
            with self.report.stage("record"):
                self.checkpoints.write()
        return patience.unread

    def _planned(self) -> Plan:
        """What there is to do, by what the output holds now."""
        settings = self.settings
        return Plan(
            settings.roots,
            settings.walk,
            self._known(),
            published_roots(self.snapshot),
            settings.limit,
            settings.rescan,
            settings.retry_failed,
            settings.prune,
        )

    def _known(self) -> Iterator[KnownImage]:
        """The images that have rows, also such that another model or detector has made; looks once it is asked."""
        published = [self.snapshot.images] if self.snapshot.identity else []
        recorded = self.checkpoints.images()
        if self._same_identity:
            yield from known_images([*published, *recorded])
        else:
            yield from with_stale_images(known_images(recorded), known_images(published, stale=True))

    def check_roots(self) -> None:
        """Raise OutputError for roots that do not go with those that the output holds images of."""
        settings, plan = self.settings, self.plan
        held = {*plan.filled_roots, *(image.root for image in known_images(self.checkpoints.images()))}
        if self.snapshot.identity not in (None, self.identity):
            if settings.prune:
                return  # the rows of other roots are dropped
            check_other_roots(settings.roots, plan.filled_roots, settings.output)
        single = {key.root for key in settings.walk.photographs}
        check_nested([root for root in settings.roots if root not in single], held, settings.output)

    def say_why(self) -> None:
        """Say what makes everything be annotated anew, if something does."""
        if self.snapshot.identity and not self._same_identity:
            said = "; ".join(changes(self.snapshot.identity, self.identity))
            log.warning("all images are annotated anew, as this has changed: %s", said)

    def preview(self) -> None:
        """Walk the roots and say what a run would do."""
        for _ in self.plan:
            pass
        say_what_there_is(self.plan)

    @property
    def _same_identity(self) -> bool:
        return self.snapshot.identity == self.identity

    def _annotated(self, patience: Patience) -> Iterator[Outcome]:
        """What becomes of every image of the plan. Keras, if it is needed, is imported while the workers work."""
        results = self.report.watch(self.plan, patience.results)
        first = next(results, None)
        if first is None:
            return
        results = itertools.chain([first], results)
        if self._worker.networks is None:
            with without_matplotlib():
                from jobs.annotation.gpu import labelled_by_keras

            results = labelled_by_keras(results, self._worker, self._networks, self.report)
        yield from cast(Iterator[Outcome], results)

    @property
    def _networks(self) -> NetworkSettings:
        settings = self.settings
        without = NEUTRAL if settings.without_neutral else None
        cards = self.card, self.verifier
        return NetworkSettings(
            *cards, settings.batch_size, settings.device, without, settings.output, settings.worker.detector
        )

    @cached_property
    def _worker(self) -> WorkerSettings:
        """What the workers are told, networks included, which are looked for once there is an image."""
        settings, self.report.device = self.settings, "cpu"
        with self.report.stage("start"):
            networks = worker_networks(self._networks)
        return replace(settings.worker, networks=networks)

    def _read(self, images: Iterable[Found]) -> Generator[Result, None, None]:
        """What the workers make of the images, here or on a cluster, which is looked for once there is an image."""
        stream = iter(images)
        first = next(stream, None)
        if first is None:
            return
        with closing(believed(self._worked_on(itertools.chain([first], stream)))) as results:
            for result in results:
                lost = isinstance(result, Outcome) and result.status in (Status.UNREADABLE, Status.DENIED)
                yield Setback(result.found, _MOVED) if lost and self.plan.has_moved(result.found) else result

    def _worked_on(self, images: Iterable[Found]) -> Generator[Result, None, None]:
        settings = self.settings
        if settings.cluster is None:
            yield from annotate_images(images, self._worker, settings.jobs)
            return
        cluster = _cluster_module()
        with cluster.cluster_workers(settings.cluster, settings.roots, self._worker) as workers:
            yield from cluster.annotate_on_cluster(images, self._worker, workers)

    def _emotions(self, outcome: Outcome) -> list[str]:
        return [self.labels[int(face.probabilities.argmax())] for face in outcome.faces]

    def _publish(self) -> dict[str, int] | None:
        """Publish new tables, if anything in them has changed and nothing of them is still missing; their rows."""
        self.checkpoints.compact()
        output, new = self.settings.output, self.checkpoints.images()
        csv = self.settings.csv or (output / "faces.csv").exists()
        csv_missing = self.settings.csv and not (output / "faces.csv").exists()
        if self._same_identity and not new and not self.plan.deleted and not csv_missing:
            say_nothing_new(self.plan)
            return None
        if self._old_tables_stay():
            return None
        old = [Source(self.snapshot.images, self.snapshot.faces)] if self._same_identity else []
        columns = Columns(IMAGES, faces_schema(self.labels))
        rows = merge([*old, *self.checkpoints.sources()], columns, self.plan.deleted)
        generation = self.snapshot.generation + 1
        count = publish(output, rows, self.labels, self.identity, generation, csv, self._check_count)
        self.checkpoints.clear(new)
        return count._asdict()

    def _old_tables_stay(self) -> bool:
        """Whether images of tables that another model or detector has made are still to be annotated; if so, say it."""
        if self._same_identity or not self.snapshot.identity:
            return False
        plan = self.plan
        missing = self._stale_images()
        if not missing and not plan.left_over:
            return False
        say = log.info if plan.left_over >= missing else log.warning
        say(
            "the old tables stay, as another model or other detector settings made them and %d images of theirs are "
            "still to be annotated anew; what is done is kept. Those that --include, --exclude, --shard and --limit "
            "leave out, or that could not be seen, come with a run that sees them",
            max(missing, plan.left_over),
        )
        return True

    def _stale_images(self) -> int:
        """How many images have rows of another model or detector alone, those apart whose rows are to go."""
        gone: set[tuple[str, ...]] = set(self.plan.deleted)
        dropped: frozenset[str] = frozenset()
        if self.settings.prune:  # which also drops the rows of roots that are not named
            dropped = self.plan.filled_roots.difference(open_root(root).name for root in self.settings.roots)
        return sum(1 for one in self._known() if one.stale and one.root not in dropped and one[:2] not in gone)

    def _check_count(self, rows: int) -> None:
        """Raise OutputError if the new table of images does not have a row for each image: nothing was cleared yet."""
        expected = self.plan.rows_that_stay() + self._added
        if rows != expected:
            raise OutputError(
                f"The new tables would have rows of {rows} images, and not of {expected}. Nothing was replaced or "
                f"deleted; run annotate again, and if it says the same look at the disk of {self.settings.output}."
            )

    def _write_pictures(self) -> None:
        settings = self.settings
        if settings.crops or settings.draw:
            from jobs.annotation.pictures import write_missing_pictures  # and Pillow and pandas with it

            self.report.show("writing the pictures")
            with self.report.stage("draw"):
                folders = settings.crops, settings.draw
                write_missing_pictures(
                    settings.output, self.identity, folders, settings.roots, settings.walk, settings.jobs
                )

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
        settings = with_photographs(settings)
        job = AnnotationJob(settings, report)
        job.check_roots()
        job.say_why()
        yield job


def _cluster_module() -> ModuleType:
    """Import Dask, which few need; raises ClusterError if it is missing."""
    try:
        from batch.workers import cluster
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error}. Install the extra: pip install 'emotion-annotate[cluster]'") from error
    return cluster
