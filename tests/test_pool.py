"""The worker pool, with real processes that really die."""

import contextlib
import fcntl
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
from conftest import annotate_chunk
from PIL import Image

from batch.errors import WorkersError
from batch.outcome import FAILED, ImageFile, Key, Outcome, Setback, Status
from batch.settings import DetectorSettings, WorkerSettings
from batch.workers import pool, stalled, worker_process
from batch.workers.patience import Patience
from batch.workers.pool import annotate_images, believed
from batch.workers.worker import time_limit
from batch.workers.worker_process import Work

pytestmark = pytest.mark.usefixtures("unmeasured_processes")


def images(count: int) -> list[ImageFile]:
    return [ImageFile(Key("/photos", f"{number:05d}.jpg"), number, number) for number in range(count)]


def die_on_some(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
    """Stand in for a decoder that aborts, is killed for its memory, or writes where it may not."""
    deaths = {"00013.jpg": signal.SIGABRT, "00113.jpg": signal.SIGKILL, "00213.jpg": signal.SIGSEGV}
    for found in chunk:
        if found.key.path in deaths:
            os.kill(os.getpid(), deaths[found.key.path])
    return [Outcome(found, Status.NO_FACE) for found in chunk]


def uneven(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
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
from batch.outcome import ImageFile, Key
from batch.workers.pool import annotate_images, believed
from batch.settings import WorkerSettings
images = [ImageFile(Key(sys.argv[1], "no.jpg"), number, 1) for number in range(40)]
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


def hang_on_some(chunk: list[ImageFile], settings: WorkerSettings) -> Iterator[Outcome]:
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


def hang_on_many(chunk: list[ImageFile], settings: WorkerSettings) -> Iterator[Outcome]:
    """Stand in for a decoder that hangs on each image whose number ends in 3, and count how often it is asked."""
    for found in chunk:
        with Path(found.key.root, "asked").open("a") as asked:
            asked.write(f"{found.key.path}\n")
        with time_limit(settings.image_timeout):
            if found.key.path.endswith("3.jpg"):
                time.sleep(60)
        yield Outcome(found, Status.NO_FACE)


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_hang_is_waited_for_once(jobs: int, tmp_path: Path) -> None:
    """An image that hangs is asked for once, whatever its neighbours do; with one job, too."""
    found = [ImageFile(Key(str(tmp_path), f"{number}.jpg"), 1, 1) for number in range(14)]
    outcomes = list(annotate_images(found, WorkerSettings(image_timeout=1.5), jobs, hang_on_many))
    crashed = [outcome.found.key.path for outcome in outcomes if outcome.status is Status.CRASHED]
    assert crashed == ["3.jpg", "13.jpg"]
    asked = (tmp_path / "asked").read_text().split()
    assert sorted(asked) == sorted(one.key.path for one in found)


@contextlib.contextmanager
def held_shut(file: Path) -> Iterator[None]:
    """Have whoever opens a file wait, by a lease on it: Linux asks for it back, and gives its holder 45 seconds."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with file.open("rb+") as holder:
            try:
                fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            except (AttributeError, OSError) as error:
                pytest.skip(f"no leases here: {error}")
            yield
            fcntl.fcntl(holder, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    finally:
        signal.signal(signal.SIGIO, before)


def test_a_disk_that_hangs_costs_no_image(
    worker: WorkerSettings, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that nobody can open or read to its end, as on a network disk that is gone, is tried again later."""
    monkeypatch.setattr(stalled, "_PATIENCE", 0.5)
    for name in ("1.jpg", "2.jpg"):
        shutil.copy(photos / "astronaut.jpg", tmp_path / name)
    found = [ImageFile(Key(str(tmp_path), name), 1, 1) for name in ("1.jpg", "2.jpg")]
    settings = replace(worker, image_timeout=3.0)
    with held_shut(tmp_path / "1.jpg"):
        results = list(annotate_images(found, settings, 1))
    assert [type(result) for result in results] == [Setback, Outcome]
    assert "its disk does not answer" in results[0].reason
    assert [result.status for result in annotate_images(found, settings, 1)] == [Status.OK] * 2


def test_a_disk_that_hangs_below_an_archive_is_told_from_an_image_that_does(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an archive that can be read nothing hangs but its image; of one whose bytes do not come the disk does."""
    monkeypatch.setattr(stalled, "_PATIENCE", 0.5)
    archive = Path(shutil.make_archive(str(tmp_path / "a"), "zip", photos))
    found = ImageFile(Key(str(archive), "astronaut.jpg"), 1, 1)
    assert not stalled.disk_hangs(found)
    archive.unlink()
    os.mkfifo(archive)  # opening it waits for somebody who writes
    assert stalled.disk_hangs(found)


def endless_jpeg(file: Path) -> None:
    """A JPEG's header and then 50 GB of zeros, which take no room."""
    os.truncate(file, 20)
    os.truncate(file, 50 * 10**9)


def freeze_once(chunk: list[ImageFile], _settings: WorkerSettings) -> Iterator[Outcome]:
    """Stand in for a process that the system, or a person, stops as it is at work on an image."""
    for found in chunk:
        marker = Path(found.key.root, f"{found.key.path}.frozen")
        if found.size_bytes in (5, 17) and not marker.exists():
            marker.touch()
            os.kill(os.getpid(), signal.SIGSTOP)
        yield Outcome(found, Status.NO_FACE)


def test_a_frozen_worker_costs_no_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up in bounded time, and its image is done by another."""
    monkeypatch.setattr(worker_process, "_SILENT", 1.0)
    found = [ImageFile(Key(str(tmp_path), f"{number:02d}.jpg"), number, 1) for number in range(30)]
    since = time.monotonic()
    outcomes = list(annotate_images(found, WorkerSettings(image_timeout=1), 2, freeze_once))
    assert [(outcome.found.key, outcome.status) for outcome in outcomes] == [(one.key, Status.NO_FACE) for one in found]
    assert len(list(tmp_path.glob("*.frozen"))) == 2
    assert time.monotonic() - since < 60


def long_work(chunk: list[ImageFile], _settings: WorkerSettings) -> Iterator[Outcome]:
    """Stand in for the preparation of an archive, which takes as long as it takes, and for an image."""
    time.sleep(4 * len(chunk))
    for found in chunk:
        yield Outcome(found, Status.NO_FACE)


def test_a_process_that_is_at_work_is_not_taken_for_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes until something is done: it says now and then that it is at work."""
    monkeypatch.setattr(worker_process, "_SILENT", 6.0)
    process = worker_process.WorkerProcess(long_work, WorkerSettings(image_timeout=0.5))
    assert len(list(process.results(images(3)))) == 3  # after 12 seconds
    process.end()


@pytest.mark.parametrize("jobs", [1, 2])
def test_sparse_giants_cost_themselves(jobs: int, worker: WorkerSettings, photos: Path, tmp_path: Path) -> None:
    """Files that would take hours to read have a row each, in bounded time, and the others are done."""
    for number in range(6):
        shutil.copy(photos / "astronaut.jpg", tmp_path / f"{number}.jpg")
    for name in ("1.jpg", "4.jpg"):
        endless_jpeg(tmp_path / name)
    found = [ImageFile(Key(str(tmp_path), f"{number}.jpg"), 1, 1) for number in range(6)]
    outcomes = list(annotate_images(found, replace(worker, image_timeout=3), jobs))
    assert [outcome.found.key for outcome in outcomes] == [one.key for one in found]
    failed = {outcome.found.key.path for outcome in outcomes if outcome.status in FAILED}
    assert failed == {"1.jpg", "4.jpg"}


def told_slowly(chunk: list[ImageFile], _settings: WorkerSettings) -> Iterator[Outcome]:
    """Healthy work, during which the process writes down its number."""
    for found in chunk:
        Path(found.key.root, f"{os.getpid()}.pid").touch()
        time.sleep(0.05)
        yield Outcome(found, Status.NO_FACE)


@pytest.mark.parametrize("deadly", [signal.SIGKILL, signal.SIGTERM])
def test_workers_killed_from_outside_cost_no_image(deadly: signal.Signals, tmp_path: Path) -> None:
    """Whoever kills workers, now the one and now the other, has no healthy image called crashed."""
    found = [ImageFile(Key(str(tmp_path), f"{number}.jpg"), 1, 1) for number in range(120)]
    killed = []

    def kill_some() -> None:
        while len(killed) < 6:
            pids = [int(file.stem) for file in sorted(tmp_path.glob("*.pid")) if int(file.stem) not in killed]
            for pid in pids[:1]:
                killed.append(pid)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, deadly)
            time.sleep(0.4)

    killer = threading.Thread(target=kill_some, daemon=True)
    killer.start()
    outcomes = list(annotate_images(found, WorkerSettings(), 2, told_slowly))
    assert [outcome.found.key for outcome in outcomes] == [one.key for one in found]
    assert {outcome.status for outcome in outcomes} == {Status.NO_FACE}
    assert len(killed) >= 2


def never_ready(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
    """Die while loading, as where there is no memory for OpenCV."""
    os.kill(os.getpid(), signal.SIGKILL)
    return [Outcome(found, Status.NO_FACE) for found in chunk]


def killed_at_each(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
    """Be killed at each image, as by a limit on memory that is too low."""
    if chunk:
        os.kill(os.getpid(), signal.SIGKILL)
    return []


@pytest.mark.parametrize("work", [never_ready, killed_at_each])
def test_a_storm_of_deaths_ends_the_run(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where workers die before they are ready, or at every image, the run ends, and no image is called crashed."""
    monkeypatch.setattr(pool, "_STORM", 2)
    monkeypatch.setattr(pool, "_ALONE_IF_KILLED", 1)
    outcomes = believed(annotate_images(images(40), WorkerSettings(), 1, work))
    with pytest.raises(WorkersError, match="memory"):
        next(outcomes)


def test_what_a_worker_raises_is_raised() -> None:
    """A mistake in the work ends the run with its own traceback, and no worker is left."""
    with pytest.raises(ZeroDivisionError) as raised:
        list(annotate_images(images(40), WorkerSettings(), 2, nonsense))
    assert "in nonsense" in str(raised.value.__notes__)


def nonsense(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
    return [Outcome(found, Status.NO_FACE, width=1 // 0) for found in chunk]


def short_of_memory(chunk: list[ImageFile], settings: WorkerSettings) -> list[Outcome]:
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
def test_an_image_too_large_for_the_memory_costs_itself(suffix: str, worker: WorkerSettings, tmp_path: Path) -> None:
    """Where there is no memory for 144 million pixels, that image's row says so; the others are done."""
    for number in range(8):
        Image.new("L", (64, 48)).save(tmp_path / f"{number:05d}.{suffix}")
    large = Image.new("L", (12_000, 12_000))
    large.save(tmp_path / f"00002.{suffix}", **({"progressive": True} if suffix == "jpg" else {}))
    found = [ImageFile(Key(str(tmp_path), f"{number:05d}.{suffix}"), 1, 1) for number in range(8)]
    settings = replace(worker, detector=DetectorSettings(detect_size=8000))
    patient = Patience(lambda images: annotate_images(images, settings, 2, short_of_memory), pauses=(0.1,) * 5)
    outcomes = sorted(patient.results(found), key=lambda outcome: outcome.found)  # what lacks memory is tried again
    assert [outcome.found.key for outcome in outcomes] == [one.key for one in found]
    assert {outcome.status for outcome in outcomes if outcome.found.key != found[2].key} == {Status.NO_FACE}
    assert outcomes[2].status is Status.TOO_LARGE
    assert "memory" in str(outcomes[2].error)


def test_the_stream_of_images_is_not_read_ahead_without_bound() -> None:
    """Work starts, and outcomes come, long before the last of a million images is known."""
    read = 0

    def endless() -> Iterator[ImageFile]:
        nonlocal read
        for number in range(1_000_000):
            read += 1
            yield ImageFile(Key("/photos", f"{number}"), number, number)

    first = list(islice(annotate_images(endless(), WorkerSettings(), 2, uneven), 10))
    assert len(first) == 10
    assert read < 2000


def leave_a_trace(chunk: list[ImageFile], _settings: WorkerSettings) -> list[Outcome]:
    for found in chunk:
        Path(found.key.root, found.key.path).touch()
    return [Outcome(found, Status.NO_FACE) for found in chunk]


def test_workers_go_on_while_the_consumer_is_busy(tmp_path: Path) -> None:
    """While Keras is imported, which takes as long as hundreds of images, two workers do not run out of work."""
    found = [ImageFile(Key(str(tmp_path), f"{number}"), number, number) for number in range(3000)]
    outcomes = annotate_images(found, WorkerSettings(), 2, leave_a_trace)
    next(outcomes)
    deadline = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 500 and time.monotonic() < deadline:
        time.sleep(0.1)
    done = len(list(tmp_path.iterdir()))
    outcomes.close()
    assert 500 <= done < 2000


def test_missing_files_are_outcomes_too(worker: WorkerSettings, tmp_path: Path) -> None:
    """The real worker in a real pool gives a row for files that are gone."""
    (tmp_path / "there.jpg").touch()
    gone = [ImageFile(Key(str(tmp_path), f"{number}.jpg"), 1, 1) for number in range(20)]
    outcomes = list(annotate_images(gone, worker, 2))
    assert {outcome.status for outcome in outcomes} == {Status.UNREADABLE}
