"""Roots that lie in another place than when they were annotated: --moved."""

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import Run, annotate_here, noise, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from test_merge import COLUMNS, write_source
from test_output import outcome

from batch.errors import OutputError
from batch.outcome import Key, Outcome
from batch.tables import journal
from batch.tables import merge as merging
from batch.tables import publish as publishing
from batch.tables.merge import merge
from batch.tables.moves import Move, as_moved, move_of, where_now
from batch.tables.snapshot import read_annotations
from jobs.annotation.job import annotation_job
from jobs.annotation.run_report import RunReport
from jobs.option_values import UsageError, moves_of
from jobs.options import annotation_settings

ROOTS = ["/a", "/a/b", "/a-b", "/a0", "/b", "/c", "/c/a", "/"]


def annotated(output: Path, *roots: Path, **options: object) -> RunReport:
    """Annotate without workers what a person has named."""
    asked = replace(annotation_settings(roots, output=output, **options), jobs=0)
    report = RunReport()
    with report, annotation_job(asked, report) as job:
        job.run()
    return report


@pytest.fixture
def library(tmp_path: Path, photos: Path) -> Path:
    """An output of two roots below a disk, and of one beside it."""
    disk = tmp_path / "disk"
    (disk / "more").mkdir(parents=True)
    photos.rename(disk / "photos")
    (tmp_path / "other").mkdir()
    for place in (disk / "more" / "a.png", tmp_path / "other" / "b.png"):
        noise(1).save(place)
    annotated(tmp_path / "out", disk / "photos", disk / "more", tmp_path / "other")
    return tmp_path / "out"


def renamed(frames: tuple[pd.DataFrame, ...], old: Path, new: Path) -> list[pd.DataFrame]:
    """What the tables are to be after the move."""
    return [
        frame.assign(root=frame["root"].str.replace(f"{old}/", f"{new}/"))
        .sort_values(["root", "path"], kind="stable")
        .reset_index(drop=True)
        for frame in frames
    ]


def assert_holds(output: Path, expected: list[pd.DataFrame]) -> None:
    for one, other in zip(tables(output), expected, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_rows_follow_their_roots(library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Roots below a disk that is mounted elsewhere have their rows there, nothing is annotated anew, also not later."""
    caplog.set_level(logging.INFO)
    expected = renamed(tables(library), tmp_path / "disk", tmp_path / "a=new disk")
    now = (tmp_path / "disk").rename(tmp_path / "a=new disk")
    move = f"{tmp_path}/disk={now}"
    assert annotated(library, now / "photos", moved=move).images == 0
    assert f"the rows of {tmp_path}/disk/more follow to {now}/more, and those of 1 more (--moved)" in caplog.text
    assert_holds(library, expected)
    written = (library / "images.parquet").stat()
    assert annotated(library, now / "photos", now / "more", tmp_path / "other", moved=move).images == 0
    assert f"no rows of {tmp_path}/disk are left, those of {now} are there (--moved)" in caplog.text
    assert "nothing new: 6 images are all known" in caplog.text
    assert (library / "images.parquet").stat() == written


def test_what_has_changed_meanwhile(library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Images that are new in the new place are annotated, those that are gone go, and rows from there count more."""
    now = (tmp_path / "disk").rename(tmp_path / "now")
    noise(2).save(now / "more" / "new.png")
    annotated(library, now / "more")
    assert "--moved" not in caplog.text  # another root is still there
    shutil.rmtree(now / "photos" / "deep" / "er")
    os.utime(now / "photos" / "astronaut.jpg", ns=(1, 1))
    report = annotated(library, now / "photos", now / "more", moved=[f"{tmp_path}/disk={now}"])
    assert (report.images, dict(report.statuses)) == (1, {"ok": 1})
    images, faces = tables(library)
    assert images["root"].str.removeprefix(f"{tmp_path}/").add("/").add(images["path"]).tolist() == [
        *("now/more/a.png", "now/more/new.png", "now/photos/astronaut.jpg", "now/photos/deep/broken.jpg"),
        *("now/photos/deep/mirrored.png", "other/b.png"),
    ]
    assert len(faces) == 2


def test_a_single_photograph_is_of_the_root_that_has_moved(library: Path, tmp_path: Path) -> None:
    """It has its row there, and what was recorded before a kill follows as well as what was published."""
    noise(5).save(tmp_path / "disk" / "photos" / "new.png")
    asked = replace(annotation_settings([tmp_path / "disk" / "photos"], output=library), jobs=0)
    with annotation_job(asked, RunReport()) as job:
        job._record()
    assert (library / "checkpoints").exists()
    now = (tmp_path / "disk").rename(tmp_path / "now")
    assert annotated(library, now / "photos" / "astronaut.jpg", moved=f"{tmp_path}/disk={now}").images == 0
    assert annotated(library, now / "photos", now / "more").images == 0
    assert {*tables(library)[0]["root"]} == {f"{now}/photos", f"{now}/more", f"{tmp_path}/other"}


def test_another_model_sees_moved_roots(library: Path, tmp_path: Path) -> None:
    """Annotated anew by other settings, images are those of the new places alone."""
    now = (tmp_path / "disk").rename(tmp_path / "now")
    anew = {"face_threshold": 0.7, "moved": f"{tmp_path}/disk={now}"}
    with pytest.raises(OutputError, match=f"also holds images of {now}/more"):
        annotated(library, now / "photos", tmp_path / "other", **anew)
    assert annotated(library, now / "photos", now / "more", tmp_path / "other", limit=2, **anew).images == 2
    assert f"{tmp_path}/disk/more" in {*tables(library)[0]["root"]}  # the old tables stay until all are done
    assert annotated(library, now / "photos", now / "more", tmp_path / "other", **anew).images == 4
    assert {*tables(library)[0]["root"]} == {f"{now}/photos", f"{now}/more", f"{tmp_path}/other"}


def test_what_cannot_have_moved(library: Path, tmp_path: Path, command: Run) -> None:
    """A root that the output does not know, or a place that this run does not see, is told before anything is done."""
    photos = tmp_path / "disk" / "photos"
    for moved, said in [
        ("photos", "expected OLD=NEW"),
        (f"={photos}", "expected OLD=NEW"),
        (f"{photos}={photos}", "expected OLD=NEW"),
        (f"/x={tmp_path}/nowhere", "expected OLD=NEW.* NEW a root of this run or a folder above it, received"),
        (f"{photos}={tmp_path}/other", "has not moved if .*photos is a root of this run"),
        ([f"/x={photos}", f"{photos}/y={photos}"], "takes the place of"),
    ]:
        with pytest.raises(UsageError, match=f"moved: .*{said}"):
            annotation_settings([photos, tmp_path / "other"], output=library, moved=moved)
    before = tables(library)
    new = tmp_path / "new"
    new.mkdir()
    done = command(new, "-o", library, "--moved", f"/x={new}")
    assert done.returncode == 5
    assert (
        "holds no images of /x, which --moved names, but of" in done.stderr and str(tmp_path / "other") in done.stderr
    )
    assert command(photos, "-o", library, "--moved", "/x=/y").returncode == 2
    (tmp_path / "other" / "photos").mkdir()
    with pytest.raises(OutputError, match=r"photos lies within it, and faces would count twice"):
        annotated(library, tmp_path / "other" / "photos", moved=f"{photos}={tmp_path}/other/photos")
    with pytest.raises(OutputError, match="nor any others"):
        annotated(tmp_path / "unused", photos, moved=f"/x={photos}")
    assert_holds(library, [*before])


def test_a_dry_run_moves_nothing(library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It says what would follow, and counts nothing as new or deleted."""
    caplog.set_level(logging.INFO)
    before = tables(library)
    now = (tmp_path / "disk").rename(tmp_path / "now")
    asked = annotation_settings([now / "photos"], output=library, moved=f"{tmp_path}/disk/photos={now}/photos")
    with annotation_job(asked, RunReport(), dry_run=True) as job:
        job.preview()
    assert f"dry run: the rows of {tmp_path}/disk/photos would follow to {now}/photos (--moved)" in caplog.text
    assert "dry run: 4 images found, 0 new, 0 changed" in caplog.text
    assert "dry run: 0 deleted" in caplog.text
    assert_holds(library, [*before])


def test_moved_is_named_where_it_helps(photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the known roots are gone and the same images lie elsewhere, the option is named; other images are others."""
    annotate_here(photos, tmp_path / "out")
    now, others = photos.rename(tmp_path / "now"), tmp_path / "others"
    others.mkdir()
    noise(3).save(others / "astronaut.jpg")
    for root, named in ((others, False), (now, True)):
        caplog.clear()
        asked = annotation_settings([root], output=tmp_path / "out")
        with annotation_job(asked, RunReport(), dry_run=True):
            assert (f"--moved '{photos}={now}'" in caplog.text) == named
    assert "is not there any more" in caplog.text


@pytest.mark.parametrize("stop_at", range(0, 14, 2))
def test_a_kill_leaves_old_or_new_rows(stop_at: int, tmp_path: Path) -> None:
    """Whichever step of publishing is the last that happens, rows are those of the old place or of the new one."""
    photos, output = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(3):
        noise(number).save(photos / f"{number}.png")
    annotated(output, photos)
    old = tables(output)
    now = photos.rename(tmp_path / "now")
    noise(9).save(now / "9.png")
    steps = iter(range(100))

    def until_killed(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            if next(steps) >= stop_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return step

    child = os.fork()
    if not child:
        try:
            for module, name in ((publishing, "flush"), (publishing, "write_rows"), (journal, "write_durably")):
                setattr(module, name, until_killed(getattr(module, name)))
            Path.replace = until_killed(Path.replace)  # type: ignore[method-assign]
            annotated(output, now, moved=f"{photos}={now}")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    roots = [*read_annotations(output).images["root"]]
    assert roots in ([str(photos)] * 3, [str(now)] * 4)
    annotated(output, now, moved=f"{photos}={now}")
    images, faces = tables(output)
    assert images["path"].tolist() == ["0.png", "1.png", "2.png", "9.png"]
    assert {*images["root"]} == {str(now)}
    pd.testing.assert_frame_equal(images[:3].drop(columns="root"), old[0].drop(columns="root"))
    assert len(faces) == len(old[1]) == 0


roots = st.sampled_from(ROOTS)
places = st.sampled_from([*ROOTS, "/n", "/n/m"])
moves = st.lists(st.builds(Move, roots, places).filter(lambda move: move.old != move.new), max_size=3)
versions = st.lists(st.dictionaries(st.tuples(roots, st.sampled_from("xy")), st.integers(0, 2)), max_size=3)


@settings(deadline=None, max_examples=60)
@given(versions, moves, st.integers(1, 5), st.sampled_from([1, 100]))
def test_each_row_is_where_its_root_is(
    sources: list[dict[tuple[str, str], int]], moves: list[Move], piece: int, small: int
) -> None:
    """Whatever moves into what, merging gives each image once and sorted; what was annotated in the place counts."""
    newest = {key: faces for source in sources for key, faces in source.items()}
    expected: dict[Key, int] = {}
    for move in (*moves, None):
        moved = {Key(*key): faces for key, faces in newest.items() if move_of(key[0], moves) == move}
        expected |= {Key(where_now(key.root, moves), key.path): faces for key, faces in moved.items()}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(merging, "SMALL", small)
        patched.setattr(merging, "_PIECE", piece)
        written = [
            write_source(Path(folder), number, [_outcome(Key(*key), faces) for key, faces in source.items()], piece)
            for number, source in enumerate(sources)
        ]
        merged = list(merge(as_moved(written, moves), COLUMNS))
    images = [row for part in merged for row in part.images.select(["root", "path", "faces"]).to_pylist()]
    faces = [row for part in merged for row in part.faces.select(["root", "path", "face"]).to_pylist()]
    assert [tuple(row.values()) for row in images] == [(*key, count) for key, count in sorted(expected.items())]
    assert [tuple(row.values()) for row in faces] == [
        (*key, face) for key, count in sorted(expected.items()) for face in range(count)
    ]


def _outcome(key: Key, faces: int) -> Outcome:
    one = outcome(key.path, faces)
    return replace(one, found=one.found._replace(key=key))


@pytest.mark.parametrize(
    ("move", "root", "now"),
    [
        (Move("/a", "/b"), "/a/c", "/b/c"),
        (Move("/a", "/b"), "/ab", "/ab"),
        (Move("/", "/mnt"), "/a", "/mnt/a"),
        (Move("/mnt", "/"), "/mnt/a", "/a"),
        (Move("/mnt", "/"), "/mnt", "/"),
        (Move("/a", "/a/b"), "/a", "/a/b"),
        (Move("/a", "/a/b"), "/a/b/c", "/a/b/c"),
        (Move("s3://one", "s3://two/p"), "s3://one/x", "s3://two/p/x"),
    ],
)
def test_where_a_root_is_now(move: Move, root: str, now: str) -> None:
    """The start of its name is another one; a root that is in the new place stays there."""
    assert where_now(root, [move]) == now
    assert where_now(now, [move]) == now


def test_the_innermost_move_counts() -> None:
    """Of two that take a root along, in any order."""
    moves = moves_of(["/a=/n", "/a/b=/n/m"], ("/n/m/c",))
    assert [where_now(root, moves[::step]) for root in ("/a/b/c", "/a/c") for step in (1, -1)] == ["/n/m/c"] * 2 + [
        "/n/c"
    ] * 2
