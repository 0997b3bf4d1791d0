"""What a run has done so far: counted, timed, shown while it goes on, summed up at its end."""

import logging
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from batch.errors import RootError
from batch.outcome import FAILED, Found, Outcome, Result, Status
from batch.plan import Plan

log = logging.getLogger("annotate.job")

_LOG_EVERY_SECONDS = 30.0
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

    def __post_init__(self) -> None:
        self._logged = self.started
        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.1f} images/s, {task.fields[faces]} faces"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=Console(file=sys.stderr), disable=not self.bar, transient=True)
        self._task = self._progress.add_task("", total=None, rate=0.0, faces=0)

    def __enter__(self) -> "RunReport":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

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

    def watch(self, plan: Plan, work: Callable[[Iterable[Found]], Iterable[Result]]) -> Iterator[Result]:
        """Pass on what ``work`` makes of the plan; the bar shows how many of all images found are known or read."""
        if self.bar:
            threading.Thread(target=self._count, args=(plan,), daemon=True).start()
        due = 0

        def counted() -> Iterator[Found]:
            nonlocal due
            for found in plan:
                due += 1
                yield found

        for read, outcome in enumerate(work(counted()), 1):
            rate, faces = read / (time.monotonic() - self.started), self.emotions.total()
            self._progress.update(self._task, completed=plan.found - due + read, rate=rate, faces=faces)
            yield outcome

    def _count(self, plan: Plan) -> None:
        with suppress(RootError):  # the plan itself says so
            self._progress.update(self._task, total=plan.count())

    def add(self, outcome: Outcome, emotions: Iterable[str]) -> None:
        """Count an image that is done, with the emotions of its faces."""
        self.statuses[str(outcome.status)] += 1
        self.emotions.update(emotions)
        for stage, seconds in outcome.seconds.items():
            self.seconds[stage] += seconds
        if outcome.status is Status.CRASHED:
            log.warning("%s/%s: %s", *outcome.found.key, outcome.error)
        if not self.bar and time.monotonic() - self._logged >= _LOG_EVERY_SECONDS:
            self._logged = time.monotonic()
            log.info("%d images done, %.1f images/s, %d faces", self.images, self.rate, self.emotions.total())

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

    def log_summary(self) -> None:
        """Say what was done: images by status, faces by emotion, seconds by stage."""
        statuses = ", ".join(f"{self.statuses[s]} {s}" for s in Status if self.statuses[s])
        log.info("%d images in %.1f s: %s", self.images, time.monotonic() - self.started, statuses or "none")
        faces = ", ".join(f"{count} {emotion}" for emotion, count in self.emotions.most_common())
        log.info("%d faces: %s", self.emotions.total(), faces or "none")
        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in sorted(self.seconds.items()))
        log.info("seconds by stage (workers' added up): %s", stages or "none")
