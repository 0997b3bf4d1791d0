"""What a run has done so far: counted, timed, shown while it goes on, summed up at its end."""

import logging
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from typing import Any

from batch.errors import RootError
from batch.names import number_of
from batch.outcome import FAILED, ImageFile, Outcome, Result, Status
from batch.plan import Plan
from batch.waiting_for_disks import open_questions
from jobs.annotation.progress_bar import NoBar, bar_for_person

log = logging.getLogger("annotate.job")

LOG_EVERY_SECONDS = 30.0
_AT_REST_SECONDS = 0.3
"""A plan that finds no further image for so long waits for the workers."""
_LISTING_SECONDS = 1.0
"""How long a run that is over waits for a listing that hangs."""
_PACKAGES = ("emotion-annotate", "keras", "tensorflow", "opencv-python-headless", "pillow", "pyarrow", "numpy")


@dataclass
class RunReport:
    """Counts and seconds of one run; ``bar`` shows them on a terminal, log lines say them elsewhere."""

    bar: bool = False
    device: str | None = None
    statuses: Counter[str] = field(default_factory=Counter)
    emotions: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    started: float = field(default_factory=time.monotonic)
    total: int | None = None
    """How many images there are, done or not, as soon as that is known."""

    def __post_init__(self) -> None:
        self._over, self._threads = threading.Event(), list[threading.Thread]()
        self._plan: Plan | None = None
        self._said, self._idle_since = 0, self.started
        self._progress = bar_for_person() if self.bar else NoBar()
        self._done, self._due, self._read_rate = 0, 0, 0.0

    def __enter__(self) -> "RunReport":
        self._progress.start()
        self._begin(self._say_progress)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(_LISTING_SECONDS)
        self._progress.stop()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    @property
    def images(self) -> int:
        """Images annotated in this run."""
        return self.statuses.total()

    @property
    def failed(self) -> int:
        """Images of this run that could not be read."""
        return sum(self.statuses[status] for status in FAILED)

    @property
    def rate(self) -> float:
        """Images per second since the run began."""
        return self.images / max(1e-9, time.monotonic() - self.started)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage of the driver; the workers' stages come with the outcomes."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] += time.monotonic() - begun

    def show(self, doing: str) -> None:
        """Show what is being done now, where a person looks."""
        self._progress.update(self._done, self.total, doing)

    def watch(self, plan: Plan, work: Callable[[Iterable[ImageFile]], Iterable[Result]]) -> Iterator[Result]:
        """Pass on what ``work`` makes of the plan; the bar shows how many of all images found are known or read."""
        self._due, self._plan = 0, plan

        def counted() -> Iterator[ImageFile]:
            for found in plan:
                if not self._due:  # a run with nothing new lists the images once, and so does one with little that is
                    self._begin(self._count, plan)
                self._due += 1
                self._show_start(self._due)
                yield found

        for read, outcome in enumerate(work(counted()), 1):
            self._done, self._read_rate = plan.found - self._due + read, read / (time.monotonic() - self.started)
            said = f"{self._read_rate:.1f} images/s, {self._faces()}{self._left()}"
            self._progress.update(self._done, self.total, said)
            yield outcome

    def _show_start(self, due: int) -> None:
        """Show how far it has come before the first image is done; the workers start once they have been given one."""
        if not self._read_rate and due <= 2:
            self.show("loading the networks" if due == 1 else "working on the first images")

    def _faces(self) -> str:
        return number_of(self.emotions.total(), "face")

    def _left(self) -> str:
        """The time that is left, once it is known how many images there are."""
        if self.total is None or not self._read_rate:
            return ""
        return f", {timedelta(seconds=round((self.total - self._done) / self._read_rate))} left"

    def _count(self, plan: Plan) -> None:
        """Find out how many images there are, as soon as the plan waits for the workers, or has come to its end."""
        seen = -1
        while plan.listing is not None and plan.found > seen:
            seen = plan.found
            if self._over.wait(_AT_REST_SECONDS):
                return
        with suppress(RootError):  # the plan itself says so
            self.total = plan.found if plan.listing is None else plan.count(self._over.is_set)

    def add(self, outcome: Outcome, emotions: Iterable[str]) -> None:
        """Count an image that is done, with the emotions of its faces."""
        self.statuses[str(outcome.status)] += 1
        self.emotions.update(emotions)
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] += seconds
        if outcome.status is Status.CRASHED:
            log.warning("%s/%s: %s", *outcome.found.key, outcome.error)

    def _say_progress(self) -> None:
        """Say every half minute how far the run is, or what it waits for: nothing waits in silence."""
        while not self._over.wait(LOG_EVERY_SECONDS):
            if self.images == self._said:
                idle = time.monotonic() - self._idle_since
                log.info("no image done for %.0f s: %s", idle, self._waits_for())
            else:
                self._idle_since = time.monotonic()
                if not self.bar:
                    self._say_rate()
            self._said = self.images

    def _waits_for(self) -> str:
        if self._plan is None:
            return "looking at the output and the roots"
        if self._plan.listing is not None and not self._due:
            return f"listing {self._plan.listing}, {number_of(self._plan.found, 'image')} found so far"
        for (place,) in open_questions().values():
            return f"the disk is asked about {place}"
        return "the workers are at work"

    def _say_rate(self) -> None:
        total = "" if self.total is None else f" of {self.total}"
        fields = {"images": self.images, "faces": self.emotions.total()}
        log.info(
            "%s done%s, %.1f images/s, %s%s",
            *(number_of(self.images, "image"), total, self.rate, self._faces(), self._left()),
            extra={"fields": fields},
        )

    def as_json(self) -> dict[str, Any]:
        """The counts and seconds as run.json has them."""
        elapsed = time.monotonic() - self.started
        return {
            "images": self.images,
            "faces": self.emotions.total(),
            "images_by_status": {str(status): self.statuses[status] for status in Status},
            "faces_by_emotion": dict(self.emotions.most_common()),
            "seconds": round(elapsed, 3),
            "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in sorted(self.seconds.items())},
            "images_per_second": round(self.images / elapsed, 2),
            "faces_per_second": round(self.emotions.total() / elapsed, 2),
            "device": self.device,
            "versions": {package: version(package) for package in _PACKAGES},
        }

    def fields(self) -> dict[str, Any]:
        """The counts and seconds as a line of the log has them."""
        return {
            "images": self.images,
            "faces": self.emotions.total(),
            "statuses": dict(self.statuses),
            "emotions": dict(self.emotions),
            "seconds": round(time.monotonic() - self.started, 3),
        }

    def log_summary(self) -> None:
        """Say what was done: images by status, faces by emotion; seconds by stage to who wants to know more."""
        statuses = ", ".join(f"{self.statuses[s]} {s}" for s in Status if self.statuses[s])
        fields, done = self.fields(), number_of(self.images, "image")
        log.info("%s in %.1f s: %s", done, fields["seconds"], statuses or "none", extra={"fields": fields})
        faces = ", ".join(f"{count} {emotion}" for emotion, count in self.emotions.most_common())
        log.info("%s: %s", self._faces(), faces or "none")
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in sorted(self.seconds.items()))
        log.debug("seconds by stage (workers' added up): %s", stages or "none")
