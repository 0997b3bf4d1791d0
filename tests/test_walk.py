"""Walking roots."""

import os
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import astronaut, noise

from batch.errors import RootError
from batch.outcome import Outcome, Status
from batch.plan import Plan
from batch.roots import image_source
from batch.roots.walk import Walk, WalkSettings
from batch.tables.schema import image_rows
from batch.tables.snapshot import known_images


def paths(root: Path, **settings: object) -> list[str]:
    return [found.key.path for found in Walk(root, WalkSettings(**settings))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a/z.png", "a.jpg", "a-b.jpg", "a/b/c/d.webp", ".hidden.jpg", ".cache/e.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 20)
    return tmp_path


def test_order_is_that_of_the_paths(folder: Path) -> None:
    """Images come sorted by their whole path, whatever the file system's order."""
    found = paths(folder)
    assert found == sorted(found) == ["a-b.jpg", "a.jpg", "a/b/c/d.webp", "a/z.png", "b.JPG"]


def test_patterns_select_by_path_or_name(folder: Path) -> None:
    """--include and --exclude match the path below the root, the name alone, or a folder."""
    assert paths(folder, include=("a/*",)) == ["a/b/c/d.webp", "a/z.png"]
    assert paths(folder, include=("*.jpg", "*.JPG"), exclude=("a-*",)) == ["a.jpg", "b.JPG"]
    assert paths(folder, include=("a/b/c",)) == ["a/b/c/d.webp"]
    assert paths(folder, exclude=("a/",)) == ["a-b.jpg", "a.jpg", "b.JPG"]


def test_every_image_is_in_one_shard(folder: Path) -> None:
    """The shards share out the images, the same way every night."""
    shards = [paths(folder, shard=(part, 3)) for part in (1, 2, 3)]
    assert shards == [["a/b/c/d.webp", "a/z.png", "b.JPG"], [], ["a-b.jpg", "a.jpg"]]
    assert sorted(path for shard in shards for path in shard) == paths(folder)


def test_content_counts_where_the_name_says_nothing(tmp_path: Path) -> None:
    """A photograph without an image's suffix is found by its first bytes, a text file is not."""
    astronaut().save(tmp_path / "scan.dat", "JPEG")
    astronaut().save(tmp_path / "no suffix", "PNG")
    (tmp_path / "letter.dat").write_text("Dear photographs, " * 5)
    assert paths(tmp_path) == ["no suffix", "scan.dat"]


def test_symlinked_folders_only_when_asked_and_never_in_circles(tmp_path: Path) -> None:
    """A link to a folder is walked with --follow-symlinks only, and a loop ends."""
    (tmp_path / "real").mkdir()
    noise(1).save(tmp_path / "real" / "one.png")
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "up").symlink_to("..")
    assert paths(tmp_path) == ["real/one.png"]
    assert paths(tmp_path, follow_symlinks=True) == ["link/one.png", "real/one.png"]


def test_dead_links_are_found_and_special_files_are_not(tmp_path: Path) -> None:
    """A link that leads nowhere is an image that will be unreadable; a pipe is no image and is never opened."""
    (tmp_path / "dead.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "pipe")
    assert paths(tmp_path) == ["dead.jpg"]


def test_strange_names_lead_back_to_their_files(tmp_path: Path) -> None:
    """Names that are not UTF-8, with new lines, emoji, backslashes or leading dashes can be opened again."""
    names = [b"caf\xe9.jpg", b"new\nline.jpg", "😀.jpg".encode(), b"-rf.jpg", b"back\\slash.jpg", b"\\xe9.jpg"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(name)
    found = list(Walk(tmp_path, WalkSettings()))
    assert sorted(image_source(image.key).open("rb").read() for image in found) == sorted(names)


def test_any_depth(tmp_path: Path) -> None:
    """A folder nested four hundred deep is no deeper than any other."""
    deep = tmp_path
    descriptor = os.open(deep, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=descriptor))
    os.close(descriptor)
    assert paths(tmp_path) == ["d/" * 400 + "x.jpg"]


@pytest.mark.parametrize("seconds", [-(2**40), -1, 0, 2**33, 2**40])
def test_any_clock(seconds: int) -> None:
    """A time of modification before 1970, in the future, or beyond what a table can tell is one like any other."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        root = Path(folder)  # in memory, where a file's time may be any
        noise(1).save(root / "a.png")
        os.utime(root / "a.png", (seconds, seconds))
        outcomes = [Outcome(found, Status.NO_FACE) for found in Plan((root,), WalkSettings())]
        pq.write_table(image_rows(outcomes), root / "images")
        assert len(outcomes) == 1
        assert list(Plan((root,), WalkSettings(), known_images([root / "images"]))) == []


def test_missing_root_is_an_error(tmp_path: Path) -> None:
    """A root that is not there stops the walk with its name."""
    with pytest.raises(RootError, match="nowhere"):
        paths(tmp_path / "nowhere")
