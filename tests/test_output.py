"""Checkpoints, snapshot, publication and lock: the output is the state."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import OutputError, OutputHeld
from batch.outcome import VANISHED, Box, Face, ImageFile, Key, Outcome, Quality, Status
from batch.tables import publish as publishing
from batch.tables import schema
from batch.tables.checkpoints import Checkpoints
from batch.tables.lock import hold
from batch.tables.merge import Source, merge
from batch.tables.publish import finish_publishing, publish
from batch.tables.rows import Columns
from batch.tables.schema import IMAGES, SCHEMA_VERSION, face_rows, faces_schema, image_rows
from batch.tables.snapshot import known_images, read_annotations, read_snapshot

LABELS = ("joy", "anger")
QUALITY = Quality(0.6, 0.5, 0.25)
IDENTITY = {"schema": SCHEMA_VERSION, "model": "abc"}


def outcome(path: str, faces: int = 1, size: int = 5) -> Outcome:
    found = tuple(Face(Box(1.4, 2.6, 10 + i, 20), 0.9, np.full(2, 0.5, "f4"), QUALITY) for i in reversed(range(faces)))
    status = Status.OK if faces else Status.NO_FACE
    return Outcome(ImageFile(Key("/r", path), size, 7), status, width=100, height=80, faces=found)


def write(output: Path, *outcomes: Outcome) -> Checkpoints:
    checkpoints = Checkpoints(output, IDENTITY, LABELS)
    for one in outcomes:
        checkpoints.add(one)
    checkpoints.write()
    return checkpoints


def publish_all(output: Path, *outcomes: Outcome, dropped: tuple[Key, ...] = (), csv: bool = False) -> None:
    """Publish as a run does."""
    snapshot, checkpoints = read_snapshot(output), write(output, *outcomes)
    old = [Source(snapshot.images, snapshot.faces)] if snapshot.identity else []
    rows = merge([*old, *checkpoints.sources()], Columns(IMAGES, faces_schema(LABELS)), dropped)
    publish(output, rows, LABELS, IDENTITY, snapshot.generation + 1, csv)
    checkpoints.clear(checkpoints.images())


def rows(output: Path) -> tuple[list[str], list[str]]:
    images, faces = pd.read_parquet(output / "images.parquet"), pd.read_parquet(output / "faces.parquet")
    return images["path"].tolist(), faces["path"].tolist()


def test_what_somebody_may_have_mended_is_known_by_its_error(tmp_path: Path) -> None:
    """An image that was denied, or had vanished, and no other one."""
    errors = {Status.DENIED: "no permission", Status.UNREADABLE: "truncated", Status.OK: None}
    made = [*errors.items(), (Status.UNREADABLE, VANISHED)]
    files = [ImageFile(Key("/r", str(number)), 1, 1) for number in range(len(made))]
    pq.write_table(image_rows(Outcome(file, *one) for file, one in zip(files, made, strict=True)), tmp_path / "images")
    refused = [image.refused for image in known_images([tmp_path / "images"])]
    assert refused == ["no permission", None, None, VANISHED]


@pytest.mark.parametrize("removed", range(5))
def test_a_kill_while_checkpoints_are_removed_leaves_no_half_of_one(
    removed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many of two pairs' files are gone by then, the next run finds none damaged."""
    checkpoints = write(tmp_path, outcome("a"))
    checkpoints.add(outcome("b"))
    checkpoints.write()
    published, unlink, calls = checkpoints.images(), Path.unlink, count()

    def dying(file: Path, missing_ok: bool = False) -> None:
        if next(calls) == removed:
            raise KeyboardInterrupt
        unlink(file, missing_ok=missing_ok)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Path, "unlink", dying)
        checkpoints.clear(published)
    assert Checkpoints(tmp_path, IDENTITY, LABELS).put_aside() == 0
    assert len(Checkpoints(tmp_path, IDENTITY, LABELS).images()) == max(0, 2 - removed)


def test_columns_are_those_of_the_contract(tmp_path: Path) -> None:
    """The tables have the columns and types that readers rely on, largest face first."""
    publish_all(tmp_path, outcome("a", faces=3))
    milliseconds = IMAGES.field("taken_at").with_type(pa.timestamp("ms"))  # Parquet has no seconds
    stored = IMAGES.set(IMAGES.get_field_index("taken_at"), milliseconds)
    assert pq.read_schema(tmp_path / "images.parquet").remove_metadata() == stored
    assert pq.read_schema(tmp_path / "faces.parquet").remove_metadata() == faces_schema(LABELS)
    faces = pd.read_parquet(tmp_path / "faces.parquet")
    assert faces["face"].tolist() == [0, 1, 2]
    assert faces["width"].tolist() == [12, 11, 10]
    assert (faces["x"][0], faces["y"][0]) == (1, 3)


def test_sizes_beyond_the_column_are_null() -> None:
    """A damaged header that claims four thousand million pixels does not break the table."""
    huge = Outcome(ImageFile(Key("/r", "a"), 1, 1), Status.TOO_LARGE, "too large", 4_294_967_169, 64)
    assert image_rows([huge])["width"].to_pylist() == [None]
    assert len(face_rows([huge], LABELS)) == 0


def test_newer_rows_replace_older_ones(tmp_path: Path) -> None:
    """A changed image's faces replace its old ones, also when it has none any more; deleted images go."""
    publish_all(tmp_path, outcome("a", 2), outcome("b", 2), outcome("c", 1))
    publish_all(tmp_path, outcome("a", 1, size=6), outcome("b", 0), outcome("0", 1), dropped=(Key("/r", "c"),))
    assert rows(tmp_path) == (["0", "a", "b"], ["0", "a"])
    known = {image.path: image for image in known_images([tmp_path / "images.parquet"])}
    assert known["a"].size_bytes == 6
    assert read_snapshot(tmp_path).generation == 2


def test_later_checkpoints_win(tmp_path: Path) -> None:
    """An image that stands in two checkpoints counts as in the later one."""
    write(tmp_path, outcome("a", 2))
    publish_all(tmp_path, outcome("a", 0))
    assert rows(tmp_path) == (["a"], [])


def test_checkpoints_of_another_model_do_not_count(tmp_path: Path) -> None:
    """What another model or detector found is not mixed in."""
    write(tmp_path, outcome("a"))
    assert Checkpoints(tmp_path, IDENTITY | {"model": "other"}, LABELS).images() == []
    assert len(Checkpoints(tmp_path, IDENTITY, LABELS).images()) == 1


def test_half_a_checkpoint_does_not_count(tmp_path: Path) -> None:
    """A checkpoint of which a kill or a bad disk left a half is done again."""
    write(tmp_path, outcome("a"))
    [images] = Checkpoints(tmp_path, IDENTITY, LABELS).images()
    images.write_bytes(images.read_bytes()[:50])
    assert Checkpoints(tmp_path, IDENTITY, LABELS).images() == []
    publish_all(tmp_path, outcome("b"))
    assert rows(tmp_path) == (["b"], ["b"])


@pytest.mark.parametrize("wrong", [None, b"", b"PAR1 no table"])
@pytest.mark.parametrize("table", ["images", "faces"])
def test_neither_half_of_a_checkpoint_counts_alone(table: str, wrong: bytes | None, tmp_path: Path) -> None:
    """Whichever table of a pair a bad disk has lost or damaged, its images are done again; the run goes on."""
    write(tmp_path, outcome("a"))
    damaged = tmp_path / "checkpoints" / f"00000001.{table}.parquet"
    damaged.unlink()
    if wrong is not None:
        damaged.write_bytes(wrong)
    publish_all(tmp_path, outcome("b"))
    assert rows(tmp_path) == (["b"], ["b"])


@pytest.mark.parametrize("column", [b"root", b"path", b"width", b"faces", b"annotated_at"])
@pytest.mark.parametrize("place", ["checkpoints/00000001.images.parquet", "images.parquet"])
def test_a_flipped_bit_in_the_name_of_a_column(place: str, column: bytes, tmp_path: Path) -> None:
    """Where no checksum is: a checkpoint is done again, tables are exit code 5, and nothing is taken for a value."""
    if place == "images.parquet":
        publish_all(tmp_path, outcome("a"))
    else:
        write(tmp_path, outcome("a"))
    damaged = bytearray((tmp_path / place).read_bytes())
    damaged[damaged.index(column, len(damaged) - 8 - int.from_bytes(damaged[-8:-4], "little"))] ^= 1
    (tmp_path / place).write_bytes(damaged)
    if place == "images.parquet":
        with pytest.raises(OutputError, match=r"images.parquet cannot be read.*other columns"):
            publish_all(tmp_path, outcome("b"))
    else:
        assert Checkpoints(tmp_path, IDENTITY, LABELS).put_aside() == 1
        publish_all(tmp_path, outcome("b"))
        assert rows(tmp_path) == (["b"], ["b"])


def test_a_clock_that_jumps_back_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The later rows win by their order, whatever the clock said when they were made."""
    for year, faces in ((2040, 1), (2020, 3), (1969, 2)):
        clock = type(
            "Clock", (datetime,), {"now": classmethod(lambda _cls, zone, year=year: datetime(year, 1, 1, tzinfo=zone))}
        )
        monkeypatch.setattr(schema, "datetime", clock)
        publish_all(tmp_path, outcome("a", faces))
        assert rows(tmp_path) == (["a"], ["a"] * faces)
        assert pd.read_parquet(tmp_path / "images.parquet")["annotated_at"].dt.year.tolist() == [year]


def test_links_in_the_output_are_not_written_through(tmp_path: Path) -> None:
    """Where another user has put links under the names of unfinished files, what they lead to stays as it is."""
    output, precious = tmp_path / "out", tmp_path / "precious"
    (output / "checkpoints").mkdir(parents=True)
    precious.write_text("mine")
    names = [".holder.json", "checkpoints/.00000001.images.parquet.unfinished", "..publishing.json.unfinished"]
    names += [f".{name}.new" for name in ("images.parquet", "faces.parquet", "images.csv", "faces.csv")]
    for name in names:
        (output / name).symlink_to(precious)
    with hold(output):
        publish_all(output, outcome("a"), csv=True)
    assert precious.read_text() == "mine"
    assert rows(output) == (["a"], ["a"])
    assert not [file for file in output.rglob("*") if file.is_symlink()]
    (output / ".lock").unlink()
    (output / ".lock").symlink_to(precious)
    with pytest.raises(OutputError, match="Cannot write"), hold(output):
        pass
    assert precious.read_text() == "mine"


@pytest.mark.parametrize("stop_at", range(12))
def test_a_kill_while_publishing_leaves_a_pair(stop_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever flush or replacement is the last that happens, the next run finds both old tables or both new ones."""
    publish_all(tmp_path, outcome("a"), csv=True)
    write(tmp_path, outcome("b"))
    steps = iter(range(100))

    class Killed(BaseException):
        pass

    def until_killed(function: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object) -> object:
            if next(steps) >= stop_at:
                raise Killed
            return function(*arguments)

        return step

    with monkeypatch.context() as patched:
        patched.setattr(publishing, "flush", until_killed(publishing.flush))
        patched.setattr(Path, "replace", until_killed(Path.replace))
        with contextlib.suppress(Killed):
            publish_all(tmp_path, outcome("b"), csv=True)
    finish_publishing(tmp_path)
    generation = read_snapshot(tmp_path).generation
    expected = ["a"] if generation == 1 else ["a", "b"]
    assert rows(tmp_path) == (expected, expected)
    for name in ("faces.csv", "images.csv"):
        assert pd.read_csv(tmp_path / name, keep_default_na=False)["path"].tolist() == expected
    publish_all(tmp_path, outcome("c"))
    assert rows(tmp_path) == (["a", "b", "c"],) * 2


def test_readers_meanwhile_get_both_tables_of_one_run(tmp_path: Path) -> None:
    """Whoever reads while runs publish without pause gets the faces that belong to the images."""
    publish_all(tmp_path, outcome("0"))
    stopped = threading.Event()

    def publish_on() -> None:
        number = 0
        while not stopped.is_set():
            number += 1
            publish_all(tmp_path, outcome(f"{number}", faces=1 + number % 3), dropped=(Key("/r", f"{number - 1}"),))

    publisher = threading.Thread(target=publish_on)
    publisher.start()
    try:
        seen, patience = set[str](), time.monotonic() + 60
        for read in count(1):
            faces, images = read_annotations(tmp_path)
            assert faces["path"].unique().tolist() == images["path"].tolist()
            seen.add(images["path"][0])
            if (read >= 200 and len(seen) > 10) or time.monotonic() > patience:
                break
    finally:
        stopped.set()
        publisher.join()
    assert len(seen) > 10


def test_tables_that_do_not_belong_together_are_not_read(tmp_path: Path) -> None:
    """Tables of two runs, damaged ones and none are errors that say so, with the way out."""
    with pytest.raises(OutputError, match=r"No tables in .*Run annotate first"):
        read_annotations(tmp_path)
    publish_all(tmp_path, outcome("a"))
    first = (tmp_path / "faces.parquet").read_bytes()
    publish_all(tmp_path, outcome("b"))
    (tmp_path / "faces.parquet").write_bytes(first)
    with pytest.raises(OutputError, match=r"images\.parquet is generation 2"):
        read_annotations(tmp_path)
    (tmp_path / "other").mkdir()
    publish_all(tmp_path / "other", outcome("a"))
    table = tmp_path / "other" / "faces.parquet"
    table.write_bytes(b"PAR1" + bytes(40) + table.read_bytes()[44:])
    with pytest.raises(OutputError, match="cannot be read"):
        read_annotations(tmp_path / "other")


@pytest.mark.parametrize("name", ["images.parquet", "faces.parquet"])
def test_a_damaged_state_is_no_fresh_start(name: str, tmp_path: Path) -> None:
    """A truncated, foreign, missing, newer or mismatched table stops the run with the way out."""
    publish_all(tmp_path, outcome("a"))
    good = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(good[:100])
    with pytest.raises(OutputError, match=r"damaged.*backup"):
        read_snapshot(tmp_path)
    pq.write_table(pa.table({"a": [1]}), tmp_path / name)
    with pytest.raises(OutputError, match="not written by annotate"):
        read_snapshot(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(OutputError, match="missing"):
        read_snapshot(tmp_path)
    (tmp_path / name).write_bytes(good)
    other = tmp_path / ("faces.parquet" if name.startswith("images") else "images.parquet")
    newer = pq.read_table(other).replace_schema_metadata({"identity": json.dumps(IDENTITY), "generation": "9"})
    pq.write_table(newer, other)
    with pytest.raises(OutputError, match="generation"):
        read_snapshot(tmp_path)


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """An output that a newer version wrote is left alone."""
    for name in ("images.parquet", "faces.parquet"):
        facts = {"identity": json.dumps({"schema": SCHEMA_VERSION + 1}), "generation": "1"}
        pq.write_table(pa.table({"a": [1]}).replace_schema_metadata(facts), tmp_path / name)
    with pytest.raises(OutputError, match="schema version"):
        read_snapshot(tmp_path)


HOLDING = """import sys, time
from pathlib import Path
from batch.tables.lock import hold
with hold(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holding(output: Path, seconds: int, *before: str) -> subprocess.Popen[str]:
    command = [*before, sys.executable, "-c", HOLDING, str(output), str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_lock_names_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    """A second process is told who holds the output; a killed holder is no obstacle."""
    holder = holding(tmp_path, 60)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(OutputHeld, match=f"process {holder.pid}"), hold(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with hold(tmp_path):
        pass


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the disk refuse locks, and is not here")
@pytest.mark.parametrize("says", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_a_disk_that_knows_no_locks(says: str, tmp_path: Path) -> None:
    """One run at a time there as well; a killed holder is no obstacle; the file that says so is named."""
    refusing = ("strace", "-f", "-o", "/dev/null", "-e", "trace=flock", "-e", f"inject=flock:error={says}")
    holder = holding(tmp_path, 60, *refusing)
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    second = holding(tmp_path, 0, *refusing)
    _, told = second.communicate(timeout=60)
    assert f"OutputHeld: Another run holds {tmp_path}: process " in told
    assert f"if that run died on another machine, delete {tmp_path / '.lock.held'}." in told
    os.kill(json.loads((tmp_path / ".holder.json").read_text())["pid"], signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock.held").exists()
    third = holding(tmp_path, 0, *refusing)
    assert (third.communicate(timeout=60)[0], third.returncode) == ("held\n", 0)
    assert not (tmp_path / ".lock.held").exists()


def test_unwritable_output_is_an_error(tmp_path: Path) -> None:
    """An output that cannot be made stops the run with its name."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"), hold(tmp_path / "file" / "output"):
        pass


def test_full_disk_is_an_error_and_costs_nothing(tmp_path: Path) -> None:
    """On a file system that is full, checkpointing says so, and what was there stays whole."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs the right to mount a small file system")
    try:
        publish_all(disk, outcome("a"))
        (disk / "ballast").write_bytes(b"x" * (os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        with pytest.raises(OutputError, match="Make space"):
            write(disk, *(outcome(f"{i:040d}") for i in range(2000)))
        assert rows(disk) == (["a"], ["a"])
        (disk / "ballast").unlink()
        publish_all(disk, outcome("b"))
        assert rows(disk) == (["a", "b"], ["a", "b"])
    finally:
        subprocess.run(["umount", disk], check=True)
