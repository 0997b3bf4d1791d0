"""The annotation job: the way of the data from folders of photographs to published tables, once through."""

import json
import logging
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager, nullcontext

from batch.errors import OutputError, UnreadError
from batch.names import number_of
from batch.outcome import ImageFile, Outcome, Result, Setback, Status
from batch.plan import Plan
from batch.roots import open_root
from batch.tables.files import write_durably, writing
from batch.tables.lock import hold
from batch.tables.publish import finish_publishing
from batch.tables.schema import SCHEMA_VERSION
from batch.waiting_for_disks import asking
from batch.workers.patience import Patience
from jobs.annotation.moved import check_moved, say_moved, say_perhaps_moved
from jobs.annotation.outputs import changes, check_labels, check_nested, check_other_roots
from jobs.annotation.photographs import with_photographs
from jobs.annotation.run_report import RunReport
from jobs.annotation.said import say_none_found, say_nothing_new, say_what_goes, say_what_there_is
from jobs.annotation.settings import AnnotationSettings
from jobs.annotation.tables import OutputTables, has_csv
from jobs.annotation.workers import Workers
from jobs.signals import end_if_signalled
from model.bundle import FACE_MODEL, ModelCard, read_card
from model.labels import NEUTRAL

log = logging.getLogger("annotate.job")

NAMED = 3
"""Roots that are named where more would be too many."""
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
        self.tables = OutputTables(settings.output, self.identity, self.labels, settings.moved)
        self._workers = Workers(settings, self.card, self.verifier, report)
        self._added = 0
        self.rows: dict[str, int] | None = None
        """How many images and faces the tables hold after a run that has changed them."""
        self.plan = self._planned()

    def run(self) -> None:
        """Annotate what is new, record it as it comes, publish it at the end; raises UnreadError after that.

        What a damaged checkpoint has lost is done again at once.
        """
        say_moved(self.tables.moved_roots())
        unread = self._record()
        for _ in range(_TIMES_DAMAGED):
            with self.report.stage("publish"):
                damaged = self.tables.checkpoints.put_aside()
            if not damaged:
                break
            self.plan = self._planned()
            unread = self._record()
        say_what_goes(self.plan)
        say_none_found(self.plan)
        self.report.show("writing the tables")
        with self.report.stage("publish"):
            rows = self._published()
        if rows:
            self._write_run(rows)
        self.rows = rows
        self._write_pictures()
        if unread:
            raise UnreadError(_why_unread(unread))

    def _record(self) -> list[Setback]:
        """Annotate what the plan says and record it; what could not be read for now."""
        patience = Patience(self._read, remote=self.settings.worker.store_timeout)
        self._added = 0
        try:
            for outcome in self._annotated(patience):
                end_if_signalled()
                if self.plan.is_as_before(outcome):
                    continue
                self.tables.checkpoints.add(outcome)
                self._added += self.plan.adds_row(outcome.found.key)
                self.report.add(outcome, self._emotions(outcome))
        finally:
            with self.report.stage("record"):
                self.tables.checkpoints.write()
        return patience.unread

    def _planned(self) -> Plan:
        """What there is to do, by what the output holds now."""
        settings = self.settings
        return Plan(
            settings.roots,
            settings.walk,
            self.tables.known(),
            self.tables.published_roots(),
            settings.limit,
            settings.rescan,
            settings.retry_failed,
            settings.prune,
            settings.worker.store_timeout,
        )

    def check_roots(self) -> None:
        """Raise OutputError for roots that do not go with those that the output holds images of."""
        settings, tables = self.settings, self.tables
        if settings.moved:
            check_moved(settings.moved, tables.roots_before, settings.output)
            now = tables.moved_roots().values()
            check_nested(now, tables.roots().difference(now), settings.output)
        if tables.is_of_another:
            if settings.prune:
                return  # the rows of other roots are dropped
            check_other_roots(settings.roots, tables.published_roots(), settings.output, self._changed())
        single = {key.root for key in settings.walk.photographs}
        check_nested([root for root in settings.roots if root not in single], tables.roots(), settings.output)

    def say_why(self) -> None:
        """Say what makes everything be annotated anew, if something does."""
        if self.tables.is_of_another and self.tables.snapshot.identity:
            log.warning("all images are annotated anew, as this has changed: %s", self._changed())
        filled = self.tables.published_roots()
        say_perhaps_moved(self.settings.roots, self.settings.walk, filled, self.tables.known())

    def _changed(self) -> str:
        return "; ".join(changes(self.tables.snapshot.identity or {}, self.identity))

    def preview(self) -> None:
        """Walk the roots and say what a run would do."""
        say_moved(self.tables.moved_roots(), dry_run=True)
        for _ in self.plan:
            pass
        say_what_there_is(self.plan)

    def _annotated(self, patience: Patience) -> Iterator[Outcome]:
        """What becomes of every image of the plan."""
        return self._workers.labelled(self.report.watch(self.plan, patience.results))

    def _read(self, images: Iterable[ImageFile]) -> Generator[Result, None, None]:
        """What the workers make of the images; one that may only have moved away with its disk is no result."""
        with closing(self._workers.results(images)) as results:
            for result in results:
                lost = isinstance(result, Outcome) and result.status in (Status.UNREADABLE, Status.DENIED)
                yield Setback(result.found, _MOVED) if lost and self.plan.has_moved(result.found) else result

    def _emotions(self, outcome: Outcome) -> list[str]:
        return [self.labels[int(face.probabilities.argmax())] for face in outcome.faces]

    def _published(self) -> dict[str, int] | None:
        """Publish new tables, if anything in them has changed and nothing of them is still missing; their rows."""
        settings = self.settings
        csv = settings.csv or has_csv(settings.output)
        if not self.tables.have_news(self.plan) and csv == has_csv(settings.output):
            self.tables.checkpoints.clear([])  # what a kill has left of those that were published
            say_nothing_new(self.plan, self.report.fields())
            return None
        dropped = self._dropped_roots()
        if self.tables.must_stay(self.plan, dropped):
            return None
        return self.tables.publish(self.plan, csv, self._check_count)

    def _dropped_roots(self) -> frozenset[str]:
        """The roots whose stale rows go, as they are not named and --prune is."""
        if not self.settings.prune:
            return frozenset()
        return self.plan.filled_roots.difference(open_root(root).name for root in self.settings.roots)

    def _check_count(self, rows: int) -> None:
        """Raise OutputError if the new table of images does not have a row for each image: nothing was cleared yet."""
        expected = self.plan.rows_that_stay() + self._added
        if rows != expected:
            raise OutputError(
                f"The new tables would have rows of {number_of(rows, 'image')}, and not of {expected}. Nothing was "
                "replaced or deleted; run annotate again, and if it says the same look at the disk of "
                f"{self.settings.output}."
            )

    def _write_pictures(self) -> None:
        settings = self.settings
        if settings.crops or settings.draw:
            from jobs.annotation.pictures import write_missing_pictures  # and Pillow and pandas with it

            self.report.show("writing the pictures")
            with self.report.stage("draw"):
                folders = settings.crops, settings.draw
                write_missing_pictures(
                    settings.output,
                    self.identity,
                    folders,
                    settings.roots,
                    settings.walk,
                    settings.processes,
                    self.report.show,
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
    with writing(settings.output):
        nothing_there = dry_run and not settings.output.exists()
    with nullcontext() if nothing_there else hold(settings.output):
        with asking(", ".join(map(str, (*settings.roots[:NAMED], settings.output)))):
            finish_publishing(settings.output)
            settings = with_photographs(settings)
            job = AnnotationJob(settings, report)
            if not dry_run:
                with report.stage("record"):
                    job.tables.checkpoints.compact()  # first, so that each of them is read but once
            job.check_roots()
            job.say_why()
        yield job


def _why_unread(unread: list[Setback]) -> str:
    given_up = [setback.reason for setback in unread if setback.given_up]
    if given_up:
        return given_up[0]
    first = unread[0]
    return (
        f"{number_of(len(unread), 'image')} could not be read, which says nothing about them: "
        f"{'/'.join(first.found.key)}: {first.reason}. Whatever could be annotated is; the next run tries again. "
        "Is the disk sound and mounted, the server up, the limit on open files (ulimit -n) high enough?"
    )
