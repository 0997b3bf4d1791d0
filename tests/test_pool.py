"""The worker pool, with real processes that really die."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from PIL import Image

from batch.outcome import Found, Key, Outcome, Status
from batch.settings import DetectorSettings, WorkerSettings
from batch.workers.pool import annotate_images
from batch.workers.worker import annotate_chunk, time_limit


def images(count: int) -> list[Found]:
    return [Found(Key("/photos", f"{number:05d}.jpg"), number, number) for number in range(count)]


def die_on_some(chunk: list[Found], _settings: WorkerSettings) -> list[Outcome]:
    """Stand in for a decoder that aborts, is killed for its memory, or writes where it may not."""
    deaths = {"00013.jpg": signal.SIGABRT, "00113.jpg": signal.SIGKILL, "00213.jpg": signal.SIGSEGV}
    for found in chunk:
        if found.key.path in deaths:
            os.kill(os.getpid(), deaths[found.key.path])
    return [Outcome(found, Status.NO_FACE) for found in chunk]


def uneven(chunk: list[Found], _settings: WorkerSettings) -> list[Outcome]:
    """Take longer for some chunks, so that they finish out of order."""
    time.sleep(0.05 * (len(chunk) and chunk[0].size_bytes % 3))
    return [Outcome(found, Status.NO_FACE) for found in chunk]


@pytest.mark.parametrize("jobs", [0, 1, 2])
def test_outcomes_keep_the_order_of_the_images(jobs: int) -> None:
    """The order never depends on timing."""
    outcomes = annotate_images(images(100), WorkerSettings(), jobs, uneven)
    assert [outcome.found for outcome in outcomes] == images(100)


def test_an_interrupted_run_does_not_tell_of_its_tasks(photos: Path) -> None:
    """A run that ends while its workers are ahead of it prints nothing of joblib's."""
    program = """
import sys, time
from batch.outcome import Found, Key
from batch.workers.pool import annotate_images
from batch.settings import WorkerSettings
images = [Found(Key(sys.argv[1], "no.jpg"), number, 1) for number in range(40)]
outcomes = annotate_images(images, WorkerSettings(), 2)
print(next(outcomes).status)
time.sleep(1)
outcomes.close()
"""
    done = subprocess.run([sys.executable, "-c", program, photos], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("unreadable\n", "")


def test_a_crash_costs_its_image_alone() -> None:
    """Images that kill their process are marked crashed; all others are done, and in order."""
    outcomes = list(annotate_images(images(230), WorkerSettings(), 2, die_on_some))
    assert [outcome.found for outcome in outcomes] == images(230)
    crashed = [outcome.found.key.path for outcome in outcomes if outcome.status is Status.CRASHED]
    assert crashed == ["00013.jpg", "00113.jpg", "00213.jpg"]
    assert all(outcome.error for outcome in outcomes if outcome.status is Status.CRASHED)


def hang_on_some(chunk: list[Found], settings: WorkerSettings) -> Iterator[Outcome]:
    """Stand in for a decoder that never comes back from images whose number ends in 13, holding everything up."""
    for found in chunk:
        with time_limit(settings.image_timeout):
            if found.key.path.endswith("13.jpg"):
                re.match(r"(a|aa)+$", "a" * 60 + "b")  # native code that takes years and keeps Python's lock
        yield Outcome(found, Status.NO_FACE)


def test_a_hang_costs_its_image_alone() -> None:
    """An image that takes too long is given up with that reason; all others are done, and in order."""
    outcomes = list(annotate_images(images(40), WorkerSettings(image_timeout=2), 2, hang_on_some))
    assert [outcome.found for outcome in outcomes] == images(40)
    crashed = {o.found.key.path: o.error for o in outcomes if o.status is Status.CRASHED}
    assert list(crashed) == ["00013.jpg"]
    assert "--image-timeout 2" in str(crashed["00013.jpg"])


def short_of_memory(chunk: list[Found], settings: WorkerSettings) -> list[Outcome]:
    """Do the real work in a process that gets no more than 32 MiB on top of what it has."""
    annotate_chunk([], settings)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (in_use + 2**25, hard))
    try:
        return annotate_chunk(chunk, settings)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, hard))


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "bmp"])
def test_an_image_too_large_for_the_memory_costs_itself(suffix: str, tmp_path: Path) -> None:
    """Where there is no memory for 144 million pixels, that image's row says so; the others are done."""
    for number in range(8):
        Image.new("L", (64, 48)).save(tmp_path / f"{number:05d}.{suffix}")
    large = Image.new("L", (12_000, 12_000))
    large.save(tmp_path / f"00002.{suffix}", **({"progressive": True} if suffix == "jpg" else {}))
    found = [Found(Key(str(tmp_path), f"{number:05d}.{suffix}"), 1, 1) for number in range(8)]
    from conftest import WORKER  # not above: each worker process would import scikit-image and pandas for it

    settings = replace(WORKER, detector=DetectorSettings(detect_size=8000))
    outcomes = list(annotate_images(found, settings, 2, short_of_memory))
    assert [outcome.found for outcome in outcomes] == found
    assert {outcome.status for outcome in outcomes if outcome.found != found[2]} == {Status.NO_FACE}
    assert outcomes[2].status is Status.TOO_LARGE
    assert "memory" in str(outcomes[2].error)


def test_the_stream_of_images_is_not_read_ahead_without_bound() -> None:
    """Work starts, and outcomes come, long before the last of a million images is known."""
    read = 0

    def endless() -> Iterator[Found]:
        nonlocal read
        for number in range(1_000_000):
            read += 1
            yield Found(Key("/photos", f"{number}"), number, number)

    first = list(islice(annotate_images(endless(), WorkerSettings(), 2, uneven), 10))
    assert len(first) == 10
    assert read < 2000


def leave_a_trace(chunk: list[Found], _settings: WorkerSettings) -> list[Outcome]:
    for found in chunk:
        Path(found.key.root, found.key.path).touch()
    return [Outcome(found, Status.NO_FACE) for found in chunk]


def test_workers_go_on_while_the_consumer_is_busy(tmp_path: Path) -> None:
    """While Keras is imported, which takes as long as hundreds of images, two workers do not run out of work."""
    found = [Found(Key(str(tmp_path), f"{number}"), number, number) for number in range(3000)]
    outcomes = annotate_images(found, WorkerSettings(), 2, leave_a_trace)
    next(outcomes)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 500 and time.monotonic() < deadline:
        time.sleep(0.1)
    done = len(list(tmp_path.iterdir()))
    outcomes.close()
    assert 500 <= done < 2000


def test_missing_files_are_outcomes_too(tmp_path: Path) -> None:
    """The real worker in a real pool gives a row for files that are gone."""
    (tmp_path / "there.jpg").touch()
    gone = [Found(Key(str(tmp_path), f"{number}.jpg"), 1, 1) for number in range(20)]
    outcomes = list(annotate_images(gone, WorkerSettings(), 2))
    assert {outcome.status for outcome in outcomes} == {Status.UNREADABLE}
