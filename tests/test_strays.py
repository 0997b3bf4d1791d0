"""An output in which lies what does not belong there, or of which a disk has lost parts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import annotate_here, astronaut, environment, noise, tables

from batch.errors import OutputError
from batch.tables import publish, snapshot
from batch.tables.snapshot import read_annotations, read_tables


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A face, and none."""
    root = tmp_path / "photos"
    root.mkdir()
    astronaut().save(root / "face.jpg")
    noise(1).save(root / "none.png")
    return root


@pytest.fixture
def output(root: Path, tmp_path: Path) -> Path:
    """Their tables."""
    annotate_here(root, tmp_path / "out")
    return tmp_path / "out"


def test_strays_beside_checkpoints_are_left_alone(root: Path, output: Path) -> None:
    """What file managers and people put there neither counts nor stops a run, and stays."""
    folder = output / "checkpoints"
    folder.mkdir()
    strays = [".DS_Store", "00000001 (1).images.parquet", "00000001 (1).faces.parquet", "notes.txt"]
    for name in strays:
        (folder / name).write_bytes(b"")
    (folder / "00000003.images.parquet").mkdir()
    (folder / "00000004.faces.parquet").mkdir()
    os.mkfifo(folder / "00000005.images.parquet")
    (folder / "dead.images.parquet").symlink_to("/nowhere/at all")
    annotate_here(root, output, rescan=True)
    kept = {*strays, "00000003.images.parquet", "00000004.faces.parquet", "dead.images.parquet"}
    assert {file.name for file in folder.iterdir()} == kept | {"00000005.images.parquet"}
    assert len(tables(output)[0]) == 2


@pytest.mark.parametrize("name", ["images.parquet", "faces.parquet"])
def test_a_pipe_in_the_place_of_a_table_is_no_table(name: str, root: Path, output: Path) -> None:
    """It is told at once; nobody waits for whoever would write into it."""
    (output / name).unlink()
    os.mkfifo(output / name)
    with pytest.raises(OutputError, match="a pipe or a device, and no file"):
        annotate_here(root, output)


def test_tables_on_a_disk_that_is_not_mounted_are_no_fresh_start(root: Path, output: Path, tmp_path: Path) -> None:
    """Links that lead nowhere are named, and stay."""
    for name in ("images.parquet", "faces.parquet"):
        (output / name).unlink()
        (output / name).symlink_to(tmp_path / "unmounted" / name)
    with pytest.raises(OutputError, match=r"faces\.parquet is missing"):
        annotate_here(root, output)
    assert all((output / name).is_symlink() for name in ("images.parquet", "faces.parquet"))


@pytest.mark.parametrize("left", [(), ("00000007.faces.parquet",), ("00000007.images.parquet.unfinished",)])
def test_what_a_kill_has_left_of_published_checkpoints_goes(left: tuple[str, ...], root: Path, output: Path) -> None:
    """Also with a run that finds nothing new: an empty folder, half a pair, an unfinished file."""
    (output / "checkpoints").mkdir()
    for name in left:
        (output / "checkpoints" / name).write_bytes(b"")
    annotate_here(root, output)
    assert not (output / "checkpoints").exists()
    assert len(tables(output)[0]) == 2


def test_checkpoints_may_lie_elsewhere(root: Path, output: Path, tmp_path: Path) -> None:
    """A link to a folder of another disk stays, and is no error at the end of a run."""
    (tmp_path / "elsewhere").mkdir()
    (output / "checkpoints").symlink_to(tmp_path / "elsewhere")
    assert annotate_here(root, output, rescan=True).images == 2
    assert annotate_here(root, output).images == 0
    assert list((output / "checkpoints").iterdir()) == []


def test_what_somebody_keeps_there_is_left_alone(root: Path, output: Path) -> None:
    """Whatever its name ends in."""
    (output / ".mine.new").write_text("mine")
    (output / ".folder.new").mkdir()
    annotate_here(root, output, rescan=True)
    assert (output / ".mine.new").read_text() == "mine"


@pytest.mark.parametrize("name", [".holder.json", "checkpoints", "run.json", ".publishing.json", ".images.parquet.new"])
def test_what_is_of_another_kind_is_named(name: str, root: Path, output: Path) -> None:
    """A folder where a file is to be, or the other way round, is exit code 5 with its name and the way out."""
    (output / name).unlink(missing_ok=True)
    if name == "checkpoints":
        (output / name).write_bytes(b"")
    else:
        (output / name).mkdir()
    with pytest.raises(OutputError, match=rf"{name}: .*Something of another kind lies there: move it away"):
        annotate_here(root, output, rescan=True)
    assert len(tables(output)[0]) == 2


@pytest.mark.parametrize("content", [b"", bytes(40), b'{"a": 1}', b'["../x"]', b"\xff", b"[" * 100_000])
def test_a_damaged_journal_ends_no_night(content: bytes, root: Path, output: Path) -> None:
    """The tables in place are taken, and what lies beside them unfinished goes."""
    (output / ".publishing.json").write_bytes(content)
    (output / ".images.parquet.new").write_bytes(b"half")
    noise(2).save(root / "new.png")
    annotate_here(root, output)
    assert len(tables(output)[0]) == 3
    assert not [*output.glob(".*.new"), *output.glob(".publishing*")]


@pytest.mark.parametrize("damaged", [False, True])
def test_whole_tables_are_published_although_the_journal_is_damaged(
    damaged: bool, root: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the renames readers have what the journal promises, and the next run goes on with either journal."""
    noise(2).save(root / "new.png")

    class Killed(BaseException):
        pass

    def once(self: Path, target: Path) -> Path:
        if self.name == ".images.parquet.new":
            raise Killed
        return Path(os.replace(self, target) or target)  # noqa: PTH105 - the one that is replaced here

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "replace", once)
        annotate_here(root, output)
    assert json.loads((output / ".publishing.json").read_bytes()) == ["faces.parquet", "images.parquet"]
    assert read_annotations(output).images["path"].tolist() == ["face.jpg", "new.png", "none.png"]
    if damaged:
        (output / ".publishing.json").write_bytes(b"")
    publish.finish_publishing(output)
    assert tables(output)[0]["path"].tolist() == ["face.jpg", "new.png", "none.png"]
    assert not (output / ".publishing.json").exists()


def test_an_output_may_have_any_name(root: Path, tmp_path: Path) -> None:
    """One that is not UTF-8, too, also when there are tables already."""
    output = Path(os.fsdecode(os.fsencode(tmp_path / "out") + b"\xff"))
    annotate_here(root, output, csv=True)
    noise(2).save(root / "new.png")
    annotate_here(root, output)
    assert len(read_annotations(output).images) == 3


READING = """
import os, sys
from itertools import islice
from pathlib import Path
from batch.tables.parquet import opened_table, pieces
before = set(os.listdir("/proc/self/task"))
tables = [opened_table(file) for file in map(Path, sys.argv[1:])]
assert sum(1 for table in tables for _ in islice(pieces(table, 1), 1)) == len(tables)
print(len(set(os.listdir("/proc/self/task")) - before))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted by /proc")
def test_no_thread_reads_ahead(output: Path) -> None:
    """One that still reads when the program is at its end aborts it, and a run that lost nothing ends with 134."""
    command = [sys.executable, "-c", READING, output / "images.parquet", output / "faces.parquet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.parametrize("name", ["images.parquet", "faces.parquet"])
def test_a_flipped_bit_is_no_value(name: str, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever in a table's pages a disk flips a bit: reading it gives what was written, or is an error."""
    monkeypatch.setattr(snapshot, "_TRIES", 1)
    file = output / name
    good, expected = file.read_bytes(), read_tables(output)
    pages = pq.ParquetFile(file).metadata.row_group(0)
    end = max(
        (column.dictionary_page_offset or column.data_page_offset) + column.total_compressed_size
        for column in (pages.column(number) for number in range(pages.num_columns))
    )
    wrong = []
    for bit in range(4 * 8, end * 8, 31):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        file.write_bytes(flipped)
        try:
            if not all(map(type(expected[0]).equals, read_tables(output), expected)):
                wrong.append(bit)
        except OutputError:
            pass
    assert wrong == []
