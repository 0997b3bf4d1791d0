"""Sorted tables merged in one pass: the newest rows win, whatever the pieces, and whoever is killed meanwhile."""

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_output import IDENTITY, LABELS, outcome, publish_all, rows

from batch.errors import OutputError
from batch.outcome import Key, Outcome
from batch.tables import checkpoints as checkpointing
from batch.tables import content
from batch.tables import merge as merging
from batch.tables import publish as publishing
from batch.tables import rows as row_writing
from batch.tables.checkpoints import Checkpoints
from batch.tables.merge import Source, merge, renamed
from batch.tables.parquet import opened_table, pieces
from batch.tables.publish import finish_publishing
from batch.tables.rows import Columns, Rows, write_rows
from batch.tables.schema import IMAGES, face_rows, faces_schema, image_rows
from batch.tables.snapshot import known_images

KILLS = int(os.environ.get("ANNOTATE_KILLS", "20")) // 2
"""Of runs while they compact or merge; ``make nightly`` asks for fifty."""

COLUMNS = Columns(IMAGES, faces_schema(LABELS))
names = st.sampled_from(["a", "a/b", "a-b", "a.b", "a0", "aé", "a\U0001f600", "a\uffff", "A", "b/a", "\\x80"])
versions = st.lists(st.dictionaries(names, st.integers(0, 4)), max_size=6)


def write_source(folder: Path, number: int, outcomes: list[Outcome], group: int) -> Source:
    source = Source(folder / f"{number}.images", folder / f"{number}.faces")
    outcomes = sorted(outcomes, key=lambda one: one.found.key)
    pq.write_table(image_rows(outcomes), source.images, row_group_size=group)
    pq.write_table(face_rows(outcomes, LABELS), source.faces, row_group_size=group)
    return source


@contextmanager
def in_pieces(sources: list[dict[str, int]], piece: int, small: int) -> Iterator[list[Source]]:
    """Tables of images that have so many faces, which merging cuts into pieces of that size."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(merging, "SMALL", small)
        patched.setattr(merging, "_PIECE", piece)
        yield [
            write_source(Path(folder), number, [outcome(path, faces) for path, faces in source.items()], piece)
            for number, source in enumerate(sources)
        ]


@settings(deadline=None, max_examples=60)
@given(versions, st.sets(names, max_size=3), st.integers(1, 5), st.sampled_from([1, 2, 100]))
def test_the_last_source_wins(sources: list[dict[str, int]], dropped: set[str], piece: int, small: int) -> None:
    """However the rows are cut, merging gives each image as its last source has it, in the order of Python's text."""
    expected = {path: faces for source in sources for path, faces in source.items() if path not in dropped}
    with in_pieces(sources, piece, small) as written:
        merged = list(merge(written, COLUMNS, [Key("/r", path) for path in dropped]))
    images = [pair for part in merged for pair in zip(*_columns(part.images, "path", "faces"), strict=True)]
    faces = [pair for part in merged for pair in zip(*_columns(part.faces, "path", "face"), strict=True)]
    assert images == sorted(expected.items())
    assert faces == [(path, face) for path, count in sorted(expected.items()) for face in range(count)]


@settings(deadline=None, max_examples=30)
@given(versions, st.sets(names, max_size=3), st.integers(1, 5), st.sampled_from([1, 2, 100]))
def test_rows_that_have_other_paths(sources: list[dict[str, int]], old: set[str], piece: int, small: int) -> None:
    """Merged as the oldest, and the ones by the old paths dropped, each image has its newest rows by its new path."""
    newest = {path: faces for source in sources for path, faces in source.items()}
    paths = {Key("/r", path): f"{'~A'[len(path) % 2]}{path}" for path in old & newest.keys()}
    with in_pieces(sources, piece, small) as written:
        merged = list(merge([*renamed(written, COLUMNS, paths), *written], COLUMNS, paths))
    images = [pair for part in merged for pair in zip(*_columns(part.images, "path", "faces"), strict=True)]
    faces = [pair for part in merged for pair in zip(*_columns(part.faces, "path", "face"), strict=True)]
    expected = {paths.get(Key("/r", path), path): count for path, count in newest.items()}
    assert images == sorted(expected.items())
    assert faces == [(path, face) for path, count in sorted(expected.items()) for face in range(count)]


def _columns(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table[name].to_pylist() for name in names]


def test_tables_that_were_changed_by_hand_are_refused(tmp_path: Path) -> None:
    """A large table out of order, and faces that are not those of the images beside them, are errors that say so."""
    source = write_source(tmp_path, 1, [outcome(f"{number:05d}") for number in range(3000)], 1000)
    table = pq.read_table(source.faces)
    pq.write_table(table.slice(1), source.faces)
    with pytest.raises(OutputError, match="other faces"):
        list(merge([source], COLUMNS))
    pq.write_table(table, source.faces)
    pq.write_table(pq.read_table(source.images).sort_by([("path", "descending")]), source.images)
    with pytest.raises(OutputError, match="not sorted"):
        list(merge([Source(source.images)], Columns(IMAGES)))


def test_an_image_that_a_table_has_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the one ends a piece that is read, and the other begins the next."""
    monkeypatch.setattr(merging, "SMALL", 0)
    monkeypatch.setattr(merging, "_PIECE", 2)
    source = write_source(tmp_path, 1, [outcome(path) for path in "abbc"], 2)
    with pytest.raises(OutputError, match="not sorted"):
        list(merge([Source(source.images)], Columns(IMAGES)))


def test_many_checkpoints_are_made_one(tmp_path: Path) -> None:
    """Sixteen pairs become one with the newest rows, in which those that a kill has left beside it do not count."""
    checkpoints = Checkpoints(tmp_path, IDENTITY, LABELS)
    kept: dict[Path, bytes] = {}  # of which the first begins, and the last shall end, as what they are made one with
    for number in range(checkpointing.TOGETHER):
        checkpoints.add(outcome(f"{number % 10:02d}", number % 3))
        checkpoints.write()
        if number in (0, 3, 7):
            files = (tmp_path / "checkpoints").glob(f"{number + 1:08d}*")
            kept |= {file: file.read_bytes() for file in files}
    assert [file.name for file in checkpoints.images()] == ["00000001-00000016.images.parquet"]
    for file, written in kept.items():
        file.write_bytes(written)
        file.with_name(file.name.replace("00000008", "00000016")).write_bytes(written)
    again = Checkpoints(tmp_path, IDENTITY, LABELS)
    assert [file.name for file in again.images()] == ["00000001-00000016.images.parquet"]
    assert again.put_aside() == 0
    publish_all(tmp_path)
    newest = {f"{number % 10:02d}": number % 3 for number in range(checkpointing.TOGETHER)}
    assert rows(tmp_path)[1] == [path for path, faces in sorted(newest.items()) for _ in range(faces)]
    assert not (tmp_path / "checkpoints").exists()


def test_long_rows_are_held_few_at_a_time(tmp_path: Path) -> None:
    """Of images whose paths have thousands of letters fewer are written, and read, together."""
    images = image_rows(outcome(f"{number:05d}{'/folder' * 560}", 0) for number in range(10_000))
    faces = faces_schema(LABELS).empty_table()
    parts = [Rows(images.slice(start, 500), faces) for start in range(0, len(images), 500)]
    with (tmp_path / "images").open("wb") as image_file, (tmp_path / "faces").open("wb") as face_file:
        assert write_rows(parts, COLUMNS, {}, image_file, face_file, "zstd") == (10_000, 0)
    table = opened_table(tmp_path / "images")
    assert max(table.metadata.row_group(group).num_rows for group in range(table.num_row_groups)) < 9_000
    read = list(pieces(table, 10_000))
    assert max(len(piece) for piece in read) < 1500
    assert pa.Table.from_batches(read)["path"].equals(images["path"])


def test_rows_of_both_tables_are_written_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images with two faces each are six rows: of five such parts two make a group of twelve."""
    monkeypatch.setattr(row_writing, "_ROW_GROUP", 12)
    pairs = [[outcome(f"{number}{letter}", 2) for letter in "ab"] for number in range(5)]
    parts = [Rows(image_rows(pair), face_rows(pair, LABELS)) for pair in pairs]
    with (tmp_path / "images").open("wb") as image_file, (tmp_path / "faces").open("wb") as face_file:
        assert write_rows(parts, COLUMNS, {}, image_file, face_file, "zstd") == (10, 20)
    for name, sizes in (("images", [4, 4, 2]), ("faces", [8, 8, 4])):
        written = pq.read_metadata(tmp_path / name)
        assert [written.row_group(group).num_rows for group in range(written.num_row_groups)] == sizes


@pytest.mark.parametrize(("count", "kept"), [(3, 3), (4, 0)])
def test_a_small_table_is_kept_as_it_is_looked_at(
    count: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that merging reads whole, and so one of exactly as many rows, need not be read again."""
    monkeypatch.setattr(content, "SMALL", 3)
    table = image_rows(outcome(str(number), number) for number in range(count))
    pq.write_table(table.replace_schema_metadata({"identity": "ours"}), tmp_path / "a")
    found = content.content_of(tmp_path / "a", "ours", IMAGES)
    assert (found.made_by, found.rows, found.faces) == ("ours", count, sum(range(count)))
    assert sum(map(len, found.pieces)) == kept


def test_small_checkpoints_are_read_once_to_be_made_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run before has left is looked at and merged by the same reading."""
    with monkeypatch.context() as patch:
        patch.setattr(checkpointing, "TOGETHER", 1000)
        checkpoints = Checkpoints(tmp_path, IDENTITY, LABELS)
        for number in range(checkpointing.TOGETHER // 10):
            checkpoints.add(outcome(f"{number:02d}", 1 + number % 3))
            checkpoints.write()
    count = 100
    monkeypatch.setattr(checkpointing, "TOGETHER", count)
    opened: list[Path] = []
    monkeypatch.setattr(merging, "_read", lambda path, _: opened.append(path))
    again = Checkpoints(tmp_path, IDENTITY, LABELS)
    again.compact()
    assert opened == []
    assert [file.name for file in again.images()] == [f"00000001-{count:08d}.images.parquet"]
    monkeypatch.undo()
    publish_all(tmp_path)
    assert rows(tmp_path)[1] == [f"{number:02d}" for number in range(count) for _ in range(1 + number % 3)]


def annotated(output: Path, wanted: dict[str, int]) -> None:
    """Record what the output does not know yet, an image to a checkpoint, and publish it, as a run does."""
    finish_publishing(output)
    checkpoints = Checkpoints(output, IDENTITY, LABELS)
    tables = [output / "images.parquet", *checkpoints.images()]
    known = {image.path for image in known_images(tables) if image.size_bytes == 6}
    for path, faces in wanted.items():
        if path not in known:
            checkpoints.add(outcome(path, faces, size=6))
            checkpoints.write()
    checkpoints.compact()
    publish_all(output, dropped=(Key("/r", "gone"),))


def telling(function: Callable[..., Any], pipe: int) -> Callable[..., Any]:
    """Let a function say that it begins."""

    def told(*arguments: Any, **options: Any) -> Any:
        os.write(pipe, b".")
        return function(*arguments, **options)

    return told


def killed(output: Path, wanted: dict[str, int], instants: random.Random) -> bool:
    """Kill a run as it compacts or merges; whether it died of that."""
    begins, tell = os.pipe()
    child = os.fork()
    if not child:
        try:
            checkpointing.Checkpoints._made_one = telling(checkpointing.Checkpoints._made_one, tell)
            publishing.write_rows = telling(publishing.write_rows, tell)
            annotated(output, wanted)
        finally:
            os._exit(0)
    os.close(tell)
    for _ in range(instants.randint(1, 6)):
        os.read(begins, 1)
    time.sleep(instants.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    os.close(begins)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_kills_while_merging_and_compacting_cost_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After many kills at random instants of both, one run to the end gives the tables of a run that nobody killed."""
    monkeypatch.setattr(checkpointing, "TOGETHER", 3)
    instants = random.Random(7)  # noqa: S311 - a seed, not a secret
    wanted = {f"{number:03d}": number % 3 for number in instants.sample(range(150), 150)}
    died = 0
    for number in range(KILLS):  # one of which comes to its end before it is killed is begun anew elsewhere
        output = tmp_path / str(number)
        output.mkdir()
        publish_all(output, *(outcome(path, 1) for path in [*sorted(wanted)[:50], "gone"]))
        while died < KILLS and killed(output, wanted, instants):
            died += 1
        annotated(output, wanted)
        assert rows(output) == (sorted(wanted), [path for path, faces in sorted(wanted.items()) for _ in range(faces)])
        assert not (output / "checkpoints").exists()
        if died == KILLS:
            break
    assert died == KILLS
