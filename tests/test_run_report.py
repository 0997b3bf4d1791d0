"""What a run says of itself while it goes on."""

import logging
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from batch.outcome import ImageFile, Key, Outcome, Status
from batch.plan import Plan
from batch.roots.folder import Folder
from batch.roots.walk import WalkSettings
from batch.waiting_for_disks import asking
from jobs.annotation import run_report
from jobs.annotation.run_report import RunReport


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were listed."""
    listed, images = [], Folder.images

    def noted(folder: Folder, settings: WalkSettings) -> object:
        listed.append(folder)
        return images(folder, settings)

    monkeypatch.setattr(Folder, "images", noted)
    return listed


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Forty images to be done."""
    for number in range(40):
        (tmp_path / f"{number}.jpg").touch()
    return Plan((tmp_path,), WalkSettings())


def test_a_plan_that_waits_for_the_workers_is_counted(plan: Plan, listings: list[Path]) -> None:
    """So that the time that is left can be told."""
    said = []
    with RunReport() as report:

        def slow(images: Iterable[ImageFile]) -> Iterator[Outcome]:
            for number, found in enumerate(images):
                until = time.monotonic() + 5
                while number == 3 and report.total is None and time.monotonic() < until:
                    time.sleep(0.01)
                said.append(report.total)
                yield Outcome(found, Status.NO_FACE)

        for outcome in report.watch(plan, slow):
            report.add(outcome, [])
    assert said[0] is None
    assert said[3:] == [40] * 37
    assert len(listings) == 2


def test_a_plan_that_runs_through_lists_the_images_once(plan: Plan, listings: list[Path]) -> None:
    """A second listing would take as long as the first: for ten new photographs among a million, most of the run."""
    with RunReport() as report:
        outcomes = list(report.watch(plan, lambda images: (Outcome(found, Status.NO_FACE) for found in images)))
    assert len(outcomes) == 40
    assert len(listings) == 1


def test_counts_and_rates(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Four images with six faces in two seconds, two of them failed, each half a second in decoding; six are left."""
    caplog.set_level(logging.INFO, "annotate")
    monkeypatch.setattr(run_report.time, "monotonic", lambda: 102.0)
    report = RunReport(started=100.0)
    faces = {"a": ["joy", "joy", "fear"], "b": ["joy", "fear", "fear"], "c": [], "d": []}
    statuses = (Status.OK, Status.OK, Status.CRASHED, Status.UNREADABLE)
    for (path, emotions), status in zip(faces.items(), statuses, strict=True):
        report.add(Outcome(ImageFile(Key("/r", path), 1, 1), status, seconds={"decode": 0.5}), emotions)
    facts = report.as_json()
    assert (facts["images"], facts["faces"], facts["seconds"]) == (4, 6, 2)
    assert (facts["images_per_second"], facts["faces_per_second"]) == (2, 3)
    assert (report.rate, report.failed, facts["seconds_by_stage"]) == (2, 2, {"decode": 2.0})
    report.total, report._done, report._read_rate = 10, 4, 2.0
    report._say_rate()
    assert caplog.messages[-1] == "4 images done of 10, 2.0 images/s, 6 faces, 0:00:03 left"
    assert caplog.records[-1].fields == {"images": 4, "faces": 6}


def test_a_disk_that_is_waited_for_is_named(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the workers are, once it has answered."""
    monkeypatch.setattr(run_report, "LOG_EVERY_SECONDS", 0.05)
    caplog.set_level(logging.INFO, "annotate")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # whoever opens one to read waits for whoever writes

    def write_late() -> None:
        time.sleep(0.5)
        pipe.write_bytes(b"here")

    def slow(images: Iterable[ImageFile]) -> Iterator[Outcome]:
        assert len([*images]) == 40
        with asking(pipe), pipe.open() as opened:
            assert opened.read() == "here"
        assert f"the disk is asked about {pipe}" in caplog.text
        caplog.clear()
        time.sleep(0.5)
        yield from ()

    threading.Thread(target=write_late).start()
    with RunReport() as report:
        assert list(report.watch(plan, slow)) == []
    assert "the workers are at work" in caplog.text
    assert "the disk" not in caplog.text
