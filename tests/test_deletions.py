"""What goes from the tables and what stays: narrow runs, disks that are not mounted, checkpoints that are damaged."""

import errno
import logging
import os
import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import annotate_here, noise, tables

from batch.deletions import Sight, find_deletions
from batch.errors import OutputError, RootError
from batch.roots import walk as walking
from batch.roots.folder import Folder
from batch.roots.walk import WalkSettings
from batch.settings import DetectorSettings, WorkerSettings
from batch.tables import checkpoints as checkpointing
from batch.tables.checkpoints import Checkpoints
from batch.tables.snapshot import KnownImage
from jobs.annotation import tables as tables_module
from jobs.annotation.job import annotation_job
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings
from model.bundle import GLANCE_MODEL

OTHER = {"worker": WorkerSettings(DetectorSettings(face_threshold=0.9, glance=GLANCE_MODEL))}
"""Settings of another identity."""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Three images of a root, six of disk2 below it, and one of a folder of its own."""
    root = tmp_path / "photos"
    for number in range(3):
        save(root / f"{number}.png", number)
    for number in range(6):
        save(root / "disk2" / "deep" / f"{number}.png", number)
    save(root / "trip" / "a.png", 1)
    return root


def save(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise(seed).save(file)


def known(output: Path) -> list[str]:
    return tables(output)[0]["path"].tolist()


ALL = ["0.png", "1.png", "2.png", *(f"disk2/deep/{number}.png" for number in range(6)), "trip/a.png"]


@pytest.fixture
def output(library: Path, tmp_path: Path) -> Path:
    """The library's tables."""
    annotate_here(library, tmp_path / "out")
    assert known(tmp_path / "out") == ALL
    return tmp_path / "out"


# A. Another identity


@pytest.mark.parametrize(
    "walk",
    [{"include": ("*0.png",)}, {"exclude": ("disk2/*",)}, {"shard": (1, 4)}],
    ids=["include", "exclude", "shard"],
)
def test_a_narrow_run_with_another_detector_keeps_the_old_tables(
    walk: dict[str, object], library: Path, output: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They stay until every image has been annotated anew, and the log says so; what is done already is kept."""
    before = (output / "images.parquet").read_bytes()
    done = annotate_here(library, output, walk=WalkSettings(**walk), **OTHER).images
    assert 0 < done < len(ALL)
    assert (output / "images.parquet").read_bytes() == before
    assert "the old tables stay" in caplog.text
    assert f"{len(ALL) - done} images" in caplog.text
    assert annotate_here(library, output, **OTHER).images == len(ALL) - done
    assert known(output) == ALL
    assert (output / "images.parquet").read_bytes() != before


def test_shards_complete_the_tables_of_another_detector_one_by_one(library: Path, output: Path) -> None:
    """The run with the last part replaces the old tables."""
    before = (output / "images.parquet").read_bytes()
    for part in (1, 2):
        assert (output / "images.parquet").read_bytes() == before
        annotate_here(library, output, walk=WalkSettings(shard=(part, 2)), **OTHER)
    assert known(output) == ALL
    assert (output / "images.parquet").read_bytes() != before


def test_what_cannot_be_listed_keeps_the_tables_of_the_old_detector(
    library: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that cannot be listed, or a disk that is not mounted, does not lose its rows with another detector."""
    before = (output / "images.parquet").read_bytes()
    listed = os.scandir

    def refusing(place: Path) -> object:
        if Path(place).name == "disk2":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(place)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        annotate_here(library, output, **OTHER)
    assert (output / "images.parquet").read_bytes() == before
    shutil.move(library / "disk2" / "deep", library.parent / "away")
    annotate_here(library, output, **OTHER)
    assert (output / "images.parquet").read_bytes() == before
    shutil.move(library.parent / "away", library / "disk2" / "deep")
    assert annotate_here(library, output, **OTHER).images == 6
    assert known(output) == ALL


# C. Checkpoints that cannot be read back


def recorded(library: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> AnnotationSettings:
    """Write a checkpoint for every two images."""
    monkeypatch.setattr(checkpointing, "EVERY_IMAGES", 2)
    return AnnotationSettings((library,), output, jobs=0)


def damage_after(monkeypatch: pytest.MonkeyPatch, harm: object) -> None:
    """Do harm once to the first checkpoint when the second is written."""
    write = Checkpoints.write
    harmed = []

    def harming(self: Checkpoints) -> None:
        write(self)
        [first, *others] = sorted(self._folder.glob("*.images.parquet")) or [None]
        if others and not harmed:
            harmed.append(first)
            harm(first)

    monkeypatch.setattr(Checkpoints, "write", harming)


HARM = {
    "truncated": lambda file: os.truncate(file, 100),
    "gone": lambda file: file.unlink(),
    "its faces gone": lambda file: file.with_name(file.name.replace("images", "faces")).unlink(),
    "zeroes": lambda file: file.write_bytes(b"PAR1" + bytes(len(file.read_bytes()) - 8) + b"PAR1"),
    "fewer rows": lambda file: pq.write_table(pq.read_table(file).slice(0, 1), file),
}


@pytest.mark.parametrize("harm", HARM)
def test_a_checkpoint_damaged_under_the_run_is_done_again(
    harm: str, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every image that was annotated is published, the damaged piece lies under another name, and the log says so."""
    settings = recorded(library, tmp_path / "out", monkeypatch)
    damage_after(monkeypatch, HARM[harm])
    report = RunReport()
    with annotation_job(settings, report) as job:
        job.run()
    assert known(tmp_path / "out") == ALL
    assert report.images == len(ALL) + 2
    assert "done again" in caplog.text
    aside = [file.name for file in (tmp_path / "out").glob("checkpoints/*")]
    assert all(name.endswith(".damaged") for name in aside)
    assert bool(aside) is (harm != "gone")
    assert annotate_here(library, tmp_path / "out").images == 0


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE])
def test_a_checkpoint_that_cannot_be_read_for_now_stays(
    number: int, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends with its error, nothing is deleted, and the next run publishes without annotating anything."""
    settings = recorded(library, tmp_path / "out", monkeypatch)
    opened = os.open

    def failing(file: str, *arguments: object, **options: object) -> object:
        if str(file).endswith("images.parquet"):
            raise OSError(number, os.strerror(number), file)
        return opened(file, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", failing)
        with (
            pytest.raises(OutputError, match=r"Cannot read .*checkpoints.*images\.parquet"),
            annotation_job(settings, RunReport()) as job,
        ):
            job.run()
    assert len(list((tmp_path / "out").glob("checkpoints/*.images.parquet"))) == 5
    assert annotate_here(library, tmp_path / "out").images == 0
    assert known(tmp_path / "out") == ALL


def test_rows_are_counted_before_anything_is_replaced(
    library: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that lack a row, for whatever reason, are not published."""
    before = (output / "images.parquet").read_bytes()
    save(library / "new.png", 7)
    merged = tables_module.merge
    monkeypatch.setattr(
        tables_module, "merge", lambda *arguments: (rows.slice(1, len(rows.images)) for rows in merged(*arguments))
    )
    with pytest.raises(OutputError, match="rows of 10 images, and not of 11"):
        annotate_here(library, output)
    assert (output / "images.parquet").read_bytes() == before
    assert list((output / "checkpoints").glob("*.images.parquet"))


# D. Disks that are not mounted, below the root


def test_an_empty_mount_point_below_the_root(library: Path, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The rows are kept, also if a file or two lie there; --prune, which the log names, removes them."""
    shutil.rmtree(library / "disk2" / "deep")
    annotate_here(library, output)
    assert known(output) == ALL
    assert "--prune" in caplog.text
    assert f"{library}/disk2/ shows none of 6 images" in caplog.text
    save(library / "disk2" / "not mounted.png", 1)
    annotate_here(library, output)
    assert [path for path in known(output) if path != "disk2/not mounted.png"] == ALL
    annotate_here(library, output, prune=True)
    assert known(output) == [*ALL[:3], "disk2/not mounted.png", "trip/a.png"]


def test_a_mount_point_that_is_gone(library: Path, output: Path) -> None:
    """A folder that is gone keeps its rows if most of what was known went with it."""
    shutil.rmtree(library / "disk2")
    annotate_here(library, output)
    assert known(output) == ALL


def test_another_disk_in_its_place(library: Path, tmp_path: Path) -> None:
    """New images in the place of the known ones are renamed ones, but not on a disk that is another than around it."""
    memory = Path("/dev/shm")  # noqa: S108 - a disk of its own
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second disk")
    follow = {"walk": WalkSettings(follow_symlinks=True)}
    with TemporaryDirectory(dir=memory) as one, TemporaryDirectory(dir=memory) as other:
        for number in range(6):
            save(Path(one) / f"{number}.png", number)
            save(Path(other) / f"other {number}.png", number)
        (library / "usb").symlink_to(one)
        annotate_here(library, tmp_path / "out", **follow)
        (library / "usb").unlink()
        (library / "usb").symlink_to(other)
        annotate_here(library, tmp_path / "out", **follow)
    on_disk = [path for path in known(tmp_path / "out") if path.startswith("usb/")]
    assert on_disk == [
        *(f"usb/{number}.png" for number in range(6)),
        *(f"usb/other {number}.png" for number in range(6)),
    ]


def test_a_person_deletes(library: Path, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An image among others, a small folder, and a folder whose images got other names take their rows along."""
    caplog.set_level(logging.INFO, "annotate")
    (library / "0.png").unlink()
    shutil.rmtree(library / "trip")
    for file in list((library / "disk2" / "deep").iterdir()):
        file.rename(file.with_name(f"renamed {file.name}"))
    annotate_here(library, output)
    assert known(output) == ["1.png", "2.png", *(f"disk2/deep/renamed {number}.png" for number in range(6))]
    assert "the rows of 8 deleted images go" in caplog.text


def missing(root: Path, folder: str, count: int) -> list[KnownImage]:
    """Images of a folder that are known and not there."""
    return [KnownImage(str(root), f"{folder}{number}.png", 1, 1, False) for number in range(count)]


@pytest.mark.parametrize(("count", "gone"), [(2, 2), (3, 0)])
def test_half_as_many_new_images_are_enough_for_renamed_ones(count: int, gone: int, tmp_path: Path) -> None:
    """One has come for two that are not seen any more, and is too few for three."""
    (tmp_path / "a").mkdir()
    sight = Sight({}, unseen=missing(tmp_path, "a/", count), alive={""}, new=Counter({"a/": 1}))
    deletions = find_deletions(Folder(str(tmp_path)), sight)
    assert (len(deletions.gone), deletions.kept["a/"]) == (gone, count - gone)


@pytest.mark.parametrize(("seen", "gone"), [(1, 1), (0, 0)])
def test_a_folder_that_is_gone_with_half_of_what_was_known(seen: int, gone: int, tmp_path: Path) -> None:
    """Its row goes along if as many others are still seen, and stays if there is none."""
    sight = Sight({}, seen=seen, unseen=missing(tmp_path, "gone/", 1), alive={""})
    deletions = find_deletions(Folder(str(tmp_path)), sight)
    assert (len(deletions.gone), deletions.kept["gone/"]) == (gone, 1 - gone)


def test_what_is_no_file_any_more_is_deleted(library: Path, output: Path) -> None:
    """A folder or a pipe in the place of a photograph shows that its disk is there."""
    annotate_here(library, output)
    (library / "0.png").unlink()
    (library / "0.png").mkdir()
    (library / "1.png").unlink()
    os.mkfifo(library / "1.png")
    annotate_here(library, output)
    assert known(output) == ALL[2:]


def test_patterns_are_no_deletion(tmp_path: Path) -> None:
    """--include finds none of a disk that is not mounted, whatever else lies in its folder: nothing is deleted."""
    root = tmp_path / "photos"
    for number in range(6):
        save(root / f"{number}.png", number)
    walk = WalkSettings(include=("*.png",))
    annotate_here(root, tmp_path / "out", walk=walk)
    shutil.rmtree(root)
    save(root / "marker.jpg", 1)
    with pytest.raises(RootError, match="--prune"):
        annotate_here(root, tmp_path / "out", walk=walk)
    assert len(known(tmp_path / "out")) == 6


@pytest.mark.parametrize("wrong", ["forgotten", "dead"])
def test_links_that_are_not_followed(wrong: str, tmp_path: Path) -> None:
    """--follow-symlinks forgotten once, or a link whose target is away, deletes nothing."""
    root = tmp_path / "photos"
    save(root / "a.png", 1)
    for number in range(6):
        save(tmp_path / "disk" / f"{number}.png", number)
    (root / "link").symlink_to(tmp_path / "disk")
    follow = {"walk": WalkSettings(follow_symlinks=True)}
    annotate_here(root, tmp_path / "out", **follow)
    before = known(tmp_path / "out")
    assert len(before) == 7
    if wrong == "dead":
        (tmp_path / "disk").rename(tmp_path / "away")
    save(root / "b.png", 1)
    annotate_here(root, tmp_path / "out", **({} if wrong == "forgotten" else follow))
    assert [path for path in known(tmp_path / "out") if path != "b.png"] == before


def test_a_disk_that_cannot_be_looked_at(library: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image without a suffix whose first bytes cannot be read now is not deleted."""
    shutil.copy(library / "0.png", library / "scan")
    annotate_here(library, output)
    monkeypatch.setattr(walking, "holds_image", lambda _: False)
    save(library / "new.png", 9)
    annotate_here(library, output)
    assert "scan" in known(output)


@pytest.mark.parametrize("walk", [{"include": ("trip/*",)}, {"shard": (1, 2)}], ids=["include", "shard"])
def test_a_choice_of_which_nothing_is_left_ends_no_night(
    walk: dict[str, object], library: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where other images lie below the root its disk is there: the row is kept, and told; without them it is exit 5."""
    output, choice = tmp_path / "out", {"walk": WalkSettings(**walk)}
    wanted = [path for path in ALL if WalkSettings(**walk).wants(path)]
    annotate_here(library, output)
    for path in wanted:
        (library / path).rename(tmp_path / path.replace("/", " "))
    assert annotate_here(library, output, **choice).images == 0
    assert known(output) == ALL
    assert "none of" in caplog.text
    for path in set(ALL) - set(wanted):
        (library / path).unlink()
    with pytest.raises(RootError, match="Is its disk mounted"):
        annotate_here(library, output, **choice)


def test_a_dry_run_counts_deletions(library: Path, output: Path, caplog: pytest.LogCaptureFixture) -> None:
    """--dry-run says how many rows would go, and how many are kept and why."""
    caplog.set_level(logging.INFO, "annotate")
    (library / "0.png").unlink()
    shutil.rmtree(library / "disk2" / "deep")
    with annotation_job(AnnotationSettings((library,), output, jobs=0), RunReport(), dry_run=True) as job:
        job.preview()
    assert "1 deleted" in caplog.text
    assert "none of 6 images" in caplog.text


# E. Nothing is cleared before the new is whole


def interrupted(library: Path, output: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Record everything and do not come to publish it."""
    with monkeypatch.context() as patch:
        patch.setattr("jobs.annotation.job.AnnotationJob._published", lambda _: None)
        annotate_here(library, output, **changes)
    assert list((output / "checkpoints").glob("*.images.parquet"))


def test_rescan_of_a_root_that_is_missing_keeps_the_checkpoints(
    library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--rescan deletes no finished work before it has looked."""
    interrupted(library, tmp_path / "out", monkeypatch)
    library.rename(tmp_path / "away")
    with pytest.raises(RootError):
        annotate_here(library, tmp_path / "out", rescan=True)
    (tmp_path / "away").rename(library)
    assert annotate_here(library, tmp_path / "out").images == 0
    assert known(tmp_path / "out") == ALL


def test_a_run_with_the_old_detector_keeps_what_the_new_one_has_done(
    library: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints of another identity stay until a run with it publishes them."""
    interrupted(library, output, monkeypatch, **OTHER)
    save(library / "new.png", 7)
    annotate_here(library, output)
    assert known(output) == sorted([*ALL, "new.png"])
    assert annotate_here(library, output, **OTHER).images == 1
    assert known(output) == sorted([*ALL, "new.png"])
    assert not (output / "checkpoints").exists()
    assert pd.read_parquet(output / "images.parquet")["path"].is_unique
