"""What may heal by itself: never a row, tried again, and exit code 5 in bounded time."""

import errno
import os
import shutil
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import annotate_command, annotate_here, astronaut, environment, noise, tables

from batch.errors import RootError, UnreadError
from batch.faults import may_heal
from batch.images import decode
from batch.outcome import ImageFile, Key, Outcome, Proposals, Result, Setback, Status
from batch.plan import Plan
from batch.roots.tar_members import TarMembers
from batch.roots.walk import Walk, WalkSettings
from batch.roots.zip_members import ZipMembers
from batch.settings import WorkerSettings
from batch.waiting_for_disks import answered, ask, open_questions
from batch.workers import patience
from batch.workers.patience import Patience
from batch.workers.worker import annotate_image
from jobs import hanging_disks


def images(count: int) -> list[ImageFile]:
    return [ImageFile(Key("/photos", f"{number:05d}.jpg"), number, number) for number in range(count)]


class Answer(Exception):
    """What Azure's and Google's clients raise."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status_code = status


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (OSError(errno.EIO, "Input/output error"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (OSError(errno.EMFILE, "Too many open files"), True),
        (OSError(errno.ETIMEDOUT, "Timed out"), True),
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (Answer(429), True),
        (Answer(503), True),
        (Answer(416), True),
        (Answer(404), False),
        (Answer(403), False),
        (FileNotFoundError(errno.ENOENT, "gone"), False),
        (PermissionError(errno.EACCES, "no"), False),
        (OSError(errno.EUCLEAN, "Structure needs cleaning"), True),
        (OSError(errno.EINVAL, "Invalid argument"), False),
        (OSError("broken data stream"), False),
        (ValueError("damaged"), False),
    ],
)
def test_errors_are_told_apart(error: Exception, heals: bool) -> None:
    """Faults of a disk, of the machine and of a store may heal, also behind another error; others are the image's."""
    assert may_heal(error) is heals
    wrapped = RuntimeError("the client gave up")
    wrapped.__cause__ = error
    assert may_heal(wrapped) is heals


@pytest.mark.parametrize(
    "name",
    ["EIO", "ESTALE", "ENODEV", "EAGAIN", "EMFILE", "ENOMEM", "ETIMEDOUT", "EUCLEAN", "EBADMSG", "ENOKEY", "ENOSPC"],
)
def test_a_photograph_that_cannot_be_read_for_now_has_no_outcome(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever of that kind the open file meets, the image is set back, and is read once it has healed."""
    astronaut().save(tmp_path / "a.jpg")
    found, number = ImageFile(Key(str(tmp_path), "a.jpg"), 1, 1), getattr(errno, name)

    def failing(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(decode.Image, "open", failing)
        assert isinstance(annotate_image(found, WorkerSettings()), Setback)
    outcome = annotate_image(found, WorkerSettings())
    assert isinstance(outcome, Proposals)
    assert len(outcome.boxes)


class Flaky:
    """Workers that cannot read some images until the given number of tries."""

    def __init__(self, heal_after: dict[str, int]) -> None:
        self.left, self.tries = dict(heal_after), 0

    def __call__(self, found: Iterable[ImageFile]) -> Generator[Result, None, None]:
        """Read what can be read."""
        self.tries += 1
        for one in found:
            left = self.left.get(one.key.path, 0)
            self.left[one.key.path] = left - 1
            yield Setback(one, "Input/output error") if left > 0 else Outcome(one, Status.NO_FACE)


def test_what_heals_is_done_behind_the_others() -> None:
    """Images that cannot be read are tried again with pauses; each has one outcome in the end."""
    work = Flaky({"00003.jpg": 1, "00007.jpg": 3})
    patient = Patience(work, pauses=(0, 0, 0))
    done = [outcome.found for outcome in patient.results(images(10))]
    assert sorted(done) == images(10)
    assert [found.size_bytes for found in done[-2:]] == [3, 7]
    assert patient.unread == []


def test_what_does_not_heal_is_left_after_all_pauses() -> None:
    """The others are done, and what is left is named, with its reason."""
    work = Flaky({"00003.jpg": 99})
    patient = Patience(work, pauses=(0, 0, 0))
    assert len(list(patient.results(images(10)))) == 9
    assert [(one.found.size_bytes, one.reason) for one in patient.unread] == [(3, "Input/output error")]
    assert (work.tries, patient.stopped) == (4, False)


def test_many_in_a_row_stop_the_run() -> None:
    """A disk that is gone is not asked for each of a million images."""
    work = Flaky({f"{number:05d}.jpg": 10**6 for number in range(5, 10**6)})
    asked = 0

    def endless() -> Iterator[ImageFile]:
        nonlocal asked
        for number in range(10**6):
            asked += 1
            yield ImageFile(Key("/photos", f"{number:05d}.jpg"), number, number)

    patient = Patience(work, pauses=(0, 0), many=20)
    assert len(list(patient.results(endless()))) == 5
    assert patient.stopped
    assert len(patient.unread) == 20
    assert asked == 25


def test_a_disk_that_comes_back_costs_nothing() -> None:
    """Many in a row that heal in time are all done, once each."""
    work = Flaky({f"{number:05d}.jpg": 2 for number in range(5, 40)})
    patient = Patience(work, pauses=(0, 0, 0), many=20)
    assert sorted(outcome.found for outcome in patient.results(images(60))) == images(60)


def test_what_is_tried_again_is_not_forgotten_where_many_in_a_row_fail_once_more() -> None:
    """Those behind them wait for the next try, as do images that were not tried at all."""
    work = Flaky({f"{number:05d}.jpg": 2 for number in range(0, 200, 2)})
    patient = Patience(work, pauses=(0,) * 9, many=20)
    assert sorted(outcome.found for outcome in patient.results(images(200))) == images(200)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that a test can wait for."""
    monkeypatch.setattr(patience, "PAUSES", (0.0, 0.0))
    monkeypatch.setattr(Patience.__init__, "__defaults__", ((0.0, 0.0), patience.MANY, 0.0))


def broken(monkeypatch: pytest.MonkeyPatch, names: Iterable[str]) -> None:
    """Have the disk fail below some photographs."""
    known = Path.open

    def failing(file: Path, *arguments: object, **options: object) -> object:
        if file.name in names and "photos" in file.parts:
            raise OSError(errno.EIO, "Input/output error", str(file))
        return known(file, *arguments, **options)

    monkeypatch.setattr(Path, "open", failing)


@pytest.mark.usefixtures("impatient")
def test_a_failing_disk_is_no_row_and_the_rest_is_published(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with its error, the tables have all other images, and the next run completes them."""
    with monkeypatch.context() as patch:
        broken(patch, ["astronaut.jpg"])
        with pytest.raises(UnreadError, match=r"1 image .*astronaut\.jpg.*Input/output error"):
            annotate_here(photos, tmp_path / "out")
    assert len(pd.read_parquet(tmp_path / "out" / "images.parquet")) == 3
    assert annotate_here(photos, tmp_path / "out").images == 1
    images = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert (len(images), images["astronaut.jpg"]) == (4, "ok")


@pytest.mark.usefixtures("impatient")
def test_rescan_keeps_the_good_row_of_what_cannot_be_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--rescan replaces no row by a failure that may heal."""
    annotate_here(photos, tmp_path / "out")
    before = pd.read_parquet(tmp_path / "out" / "faces.parquet")
    broken(monkeypatch, ["astronaut.jpg", "mirrored.png"])
    with pytest.raises(UnreadError):
        annotate_here(photos, tmp_path / "out", rescan=True)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "faces.parquet"), before)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("often", [1, 99])
def test_an_archive_that_is_rewritten_in_place_while_it_is_read(
    often: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that may have been read out of two archives at once is no row; it is tried again."""
    for name in ("0.png", "a.png", "b.png"):
        noise(1, 50 + ord(name[0])).save(tmp_path / name)
    archive, either, times = tmp_path / f"photos.{kind}", [], 0
    opened, pack, add = {
        "zip": (ZipMembers, zipfile.ZipFile, zipfile.ZipFile.write),
        "tar": (TarMembers, tarfile.open, tarfile.TarFile.add),
    }[kind]
    for names in (("a.png", "b.png"), ("0.png", "a.png", "b.png")):
        with pack(archive, "w") as packed:
            for name in names:
                add(packed, tmp_path / name, name)
        either.append(archive.read_bytes())
    known = opened.read

    def rewriting(*arguments: Any) -> bytes:
        nonlocal times
        if times < often:
            archive.write_bytes(either[times % 2])
            times += 1
            os.utime(archive, (times, times))
        return known(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(opened, "read", rewriting)
        with pytest.raises(UnreadError, match="has changed while it was read") if often > 1 else nullcontext():
            annotate_here(archive, tmp_path / "out", walk=WalkSettings(exclude=("0.png",)))
    assert len(tables(tmp_path / "out")[0]) == (0 if often > 1 else 2)
    annotate_here(archive, tmp_path / "out")
    assert {*tables(tmp_path / "out")[0]["status"]} == {"no_face"}


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("leaves", ["nothing", "an empty folder"])
def test_a_disk_unmounted_in_the_middle_is_no_heap_of_rows(
    leaves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images below a folder that has vanished, or is empty, since it was listed are not called unreadable."""
    root = tmp_path / "photos"
    for number in range(8):
        (root / "disk2" / "deep").mkdir(parents=True, exist_ok=True)
        noise(number).save(root / f"{number}.png")
        noise(number).save(root / "disk2" / "deep" / f"{number}.png")
    known = decode._opened

    def unmounting(file: Path) -> object:
        if file.parent.name == "deep" and file.name == "1.png" and (root / "disk2" / "deep").exists():
            shutil.rmtree(root / "disk2")
            if leaves == "an empty folder":
                (root / "disk2").mkdir()
        return known(file)

    monkeypatch.setattr(decode, "_opened", unmounting)
    with pytest.raises(UnreadError, match="another disk than when it was listed"):
        annotate_here(root, tmp_path / "out")
    rows = pd.read_parquet(tmp_path / "out" / "images.parquet")
    assert set(rows["status"]) == {"no_face"}
    assert len(rows) == 9


def test_another_disk_in_the_place_of_one(tmp_path: Path) -> None:
    """A mount point that has changed under the run is noticed by its device, whatever lies there now."""
    root = tmp_path / "photos"
    (root / "disk2").mkdir(parents=True)
    noise(1).save(root / "disk2" / "a.png")
    plan = Plan((root,), WalkSettings())
    [found] = plan
    assert not plan.has_moved(found)
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / "disk2"], check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        (root / "disk2" / "marker").touch()
        assert plan.has_moved(found)
    finally:
        subprocess.run(["umount", root / "disk2"], check=True)
    assert not plan.has_moved(found)


def test_what_had_vanished_or_was_denied_is_tried_again_once_it_can_be_opened(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead link that leads somewhere now is annotated; as long as it is dead nothing is done or written."""
    (photos / "link.png").symlink_to(tmp_path / "elsewhere.png")
    known = Path.open

    def refusing(file: Path, *arguments: object, **options: object) -> object:
        if file.name == "astronaut.jpg" and "photos" in file.parts:
            raise PermissionError(errno.EACCES, "Permission denied", str(file))
        return known(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing)
        annotate_here(photos, tmp_path / "out")
        rows = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
        assert (rows["link.png"], rows["astronaut.jpg"]) == ("unreadable", "denied")
        written = (tmp_path / "out" / "images.parquet").stat()
        assert annotate_here(photos, tmp_path / "out").images == 0
        assert (tmp_path / "out" / "images.parquet").stat() == written
    assert annotate_here(photos, tmp_path / "out").images == 1
    noise(1).save(tmp_path / "elsewhere.png")
    assert annotate_here(photos, tmp_path / "out").images == 1
    rows = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert (rows["link.png"], rows["astronaut.jpg"]) == ("no_face", "ok")


def test_a_pipe_where_an_image_was_holds_up_nothing(photos: Path, tmp_path: Path) -> None:
    """It is gone, with a suffix or without one."""
    shutil.copy(photos / "astronaut.jpg", photos / "without suffix")
    annotate_here(photos, tmp_path / "out")
    for name in ("astronaut.jpg", "without suffix"):
        (photos / name).unlink()
        os.mkfifo(photos / name)
    annotate_here(photos, tmp_path / "out", prune=True)
    assert len(tables(tmp_path / "out")[0]) == 3


@pytest.mark.parametrize("packed", [False, True])
def test_what_cannot_be_looked_at_is_not_taken_for_another_kind_of_file(
    packed: bool, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image without suffix is known by its first bytes: where these cannot be read no row of it goes."""
    shutil.copy(photos / "astronaut.jpg", photos / "without suffix")
    root = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", photos)) if packed else photos
    annotate_here(root, tmp_path / "out")
    before = tables(tmp_path / "out")[0]

    def failing(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("zipfile.ZipExtFile.read" if packed else "batch.roots.walk.starts_like_image", failing)
        with pytest.raises(RootError, match="Input/output error") if packed else nullcontext():
            annotate_here(root, tmp_path / "out", rescan=True)
    assert tables(tmp_path / "out")[0]["status"].equals(before["status"])


HANGING = (
    ("newfstatat", "photos"),
    ("getdents64", "photos/deep"),
    ("read", "photos.tar"),
    ("fsync", "out/checkpoints"),
)
"""System calls that do not come back, and where: as the run looks, lists, opens an archive, or writes."""


def ended_by_a_disk(call: str, place: str, folder: Path) -> tuple[str, float, int]:
    """What a run says whose call at ``place`` in ``folder`` hangs, after how many seconds, and its exit code."""
    hangs = f"inject={call}:delay_enter={14_000_000}"
    strace = ["strace", "-f", "-o", folder / "trace", "-P", folder / place, "-e", f"trace={call}", "-e", hangs]
    root = folder / (place if place.endswith(".tar") else "photos")
    command = annotate_command(root, "-o", folder / "out", "-j", "1", "--store-timeout", "10")
    process = subprocess.Popen([*strace, *command], stderr=subprocess.PIPE, text=True, env=environment())
    assert process.stderr
    since, said = time.monotonic(), ""
    while "error:" not in said:
        said = process.stderr.readline()
        assert said, "it ends without an error"
    seconds = time.monotonic() - since
    code = process.wait()
    process.stderr.close()
    return said, seconds, code


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the disk hang, and is not here")
def test_a_disk_that_hangs_ends_the_run(photos: Path, tmp_path: Path) -> None:
    """With exit code 5, soon after --store-timeout and not when the system comes back; the next run is whole."""
    folders = [tmp_path / call for call, _ in HANGING]
    for folder in folders:
        shutil.copytree(photos, folder / "photos")
        with tarfile.open(folder / "photos.tar", "w") as tar:
            tar.add(photos, ".")
    with ThreadPoolExecutor(len(HANGING)) as threads:  # they wait
        ends = list(threads.map(ended_by_a_disk, *zip(*HANGING, strict=True), folders))
    for (_, place), folder, (said, seconds, code) in zip(HANGING, folders, ends, strict=True):
        assert "does not answer, for 10 s by now (--store-timeout), when it is asked about" in said
        assert str(folder / place) in said
        assert 10 < seconds < 20, place
        assert code == 5
        annotate_here(folder / (place if place.endswith(".tar") else "photos"), folder / "out")
        assert len(tables(folder / "out")[0]) == 4


def test_whoever_asks_a_disk_about_a_file_is_known(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked about is told while there is no answer, and not once there is one."""
    told, stat = [], os.stat

    def noted(place: str, **options: object) -> os.stat_result:
        told.append((str(place), [asked for (asked,) in open_questions().values()]))
        return stat(place, **options)

    monkeypatch.setattr("batch.roots.walk.os.stat", noted)
    assert len([*Walk(photos, WalkSettings())]) == 4
    monkeypatch.undo()
    images = [row for row in told if Path(row[0]).suffix]
    assert len(images) == 4
    assert all(asked == [place] for place, asked in images)
    assert open_questions() == {}


@pytest.mark.parametrize("again", [False, True])
def test_a_disk_that_answers_now_and_then_does_not_hang(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """One question that stays open ends the process; one after the other does not, however long that takes."""
    codes, over = [], threading.Event()

    def end(code: int) -> None:
        codes.append(code)
        over.set()

    monkeypatch.setattr(hanging_disks, "_PAUSE", 0.02)
    monkeypatch.setattr(hanging_disks, "_LEAST", 0.2)
    monkeypatch.setattr(hanging_disks.os, "_exit", end)
    with hanging_disks.ended_by_a_hanging_disk(0):
        ask("/photos")
        for _ in range(200):
            if over.wait(0.01):
                break
            if again:
                ask("/photos")
        answered()
    assert set(codes) == (set() if again else {5})
