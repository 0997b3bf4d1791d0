"""Single photographs as roots, and roots that meet."""

import os
from pathlib import Path

import pytest
from conftest import Run, noise, tables

from batch.errors import OutputError, RootError
from batch.roots.walk import Walk, WalkSettings
from batch.tables.snapshot import read_annotations
from jobs.annotation.job import annotation_job
from jobs.annotation.run_report import RunReport
from jobs.option_values import UsageError, root_names
from jobs.options import annotation_settings


def annotated(output: Path, *roots: Path, **options: object) -> RunReport:
    """Annotate without workers what a person has named."""
    settings = annotation_settings(roots, output=output, **options)
    object.__setattr__(settings, "jobs", 0)
    report = RunReport()
    with report, annotation_job(settings, report) as job:
        job.run()
    return report


def keys(output: Path) -> list[tuple[str, str]]:
    images = read_annotations(output).images
    return [*images[["root", "path"]].itertuples(index=False, name=None)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs at two depths."""
    for name in ("a.png", "b.png", "2024/c.png", "2024/d.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        noise(len(name)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_a_photograph_is_an_image_of_its_folder(folder: Path, tmp_path: Path) -> None:
    """It has the row that it has by way of its folder, which then is new to the rest alone, and deletes nothing."""
    assert annotated(tmp_path / "out", folder / "a.png").images == 1
    assert keys(tmp_path / "out") == [(str(folder), "a.png")]
    assert annotated(tmp_path / "out", folder).images == 3
    assert annotated(tmp_path / "out", folder / "a.png", folder / "2024" / "c.png").images == 0
    assert [path for _, path in keys(tmp_path / "out")] == ["2024/c.png", "2024/d.png", "a.png", "b.png"]
    noise(9).save(folder / "2024" / "c.png")
    noise(9).save(folder / "b.png")
    assert annotated(tmp_path / "out", folder / "2024" / "c.png").images == 1


def test_photographs_beside_folders(folder: Path, tmp_path: Path) -> None:
    """A photograph in a folder that is named, too, comes with it; of another folder it comes alone."""
    assert annotated(tmp_path / "out", folder / "2024", folder / "2024" / "c.png", folder / "b.png").images == 3
    assert keys(tmp_path / "out") == [
        (str(folder), "b.png"),
        (str(folder / "2024"), "c.png"),
        (str(folder / "2024"), "d.png"),
    ]
    assert annotated(tmp_path / "out", folder / "2024").images == 0
    with pytest.raises(OutputError, match=r"2024; that lies within .*photos, and faces would count twice"):
        annotated(tmp_path / "out", folder)


def test_photographs_of_folders_within_each_other(folder: Path, tmp_path: Path) -> None:
    """Named together they are images of the outer folder, so that it can be annotated as a whole later."""
    assert annotated(tmp_path / "out", folder / "2024" / "c.png", folder / "a.png").images == 2
    assert keys(tmp_path / "out") == [(str(folder), "2024/c.png"), (str(folder), "a.png")]
    assert annotated(tmp_path / "out", folder).images == 2


def test_options_hold_for_photographs(folder: Path, tmp_path: Path) -> None:
    """Patterns go for them, too, an output is none of their folders, and a photograph that is gone is said to be."""
    assert annotated(tmp_path / "out", folder / "a.png", folder / "b.png", exclude="b*").images == 1
    assert annotated(tmp_path / "out", folder / "b.png", exclude="b*").images == 0
    with pytest.raises(UsageError, match="is a folder of photographs"):
        annotation_settings(folder / "a.png", output=folder)
    with pytest.raises(UsageError, match="lie within each other"):
        annotation_settings(folder / "a.png", draw=folder / "drawn")
    (folder / "a.png").rename(folder / ".a.png")
    with pytest.raises(UsageError, match="hidden"):
        annotation_settings(folder / ".a.png")
    assert root_names(folder / "a.png") == ((str(folder / "a.png"),), ())


def test_photographs_are_listed_without_a_walk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photograph on a desktop of a million files does not wait for them."""
    monkeypatch.setattr(os, "scandir", lambda _: pytest.fail("the folder was listed"))
    walk = Walk(folder, WalkSettings(paths=frozenset({"b.png", "2024/c.png", "gone.txt"})))
    assert [found.key.path for found in walk] == ["2024/c.png", "b.png"]
    assert set(walk.devices) == {"", "2024/"}


def test_the_command_takes_photographs(folder: Path, tmp_path: Path, command: Run) -> None:
    """As a person drags them onto it, with names that are odd."""
    odd = folder / "it's [1] #ä.png"
    (folder / "a.png").rename(odd)
    done = command(odd, folder / "b.png", "-o", tmp_path / "out", "-j", 1, "--draw", tmp_path / "drawn")
    assert (done.returncode, "2 images in" in done.stderr) == (0, True), done.stderr
    assert tables(tmp_path / "out")[0]["path"].tolist() == ["b.png", odd.name]
    assert {file.name for file in (tmp_path / "drawn").rglob("*.*")} == {"b.png", odd.name}


def test_one_root_by_two_names(folder: Path, tmp_path: Path) -> None:
    """Named twice it is one; through a link it is refused, in one run as across runs, and so is what lies within."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert root_names([folder, f"{folder}/", folder / "2024" / ".."]) == ((str(folder),), ())
    with pytest.raises(UsageError, match="are the same; name one of them"):
        root_names([folder, link])
    with pytest.raises(UsageError, match=r"link lies within|2024 lies within .*link"):
        root_names([folder / "2024", link])
    assert annotated(tmp_path / "out", folder).images == 4
    with pytest.raises(RootError, match="No such file"):
        annotated(tmp_path / "out", folder / "nothing.jpg")
    with pytest.raises(OutputError, match="link is the same, and faces would count twice"):
        annotated(tmp_path / "out", link)
    with pytest.raises(OutputError, match=r"2024 lies within it.*--include '2024/"):
        annotated(tmp_path / "out", link / "2024")


def test_a_photograph_through_a_link_to_its_folder(folder: Path, tmp_path: Path) -> None:
    """It is the image of the folder that the link leads to, named before or beside it."""
    link = tmp_path / "link"
    link.symlink_to(folder)
    assert annotated(tmp_path / "one", folder / "a.png", link / "a.png", link / "2024" / "c.png").images == 2
    assert keys(tmp_path / "one") in [[(str(way), "2024/c.png"), (str(way), "a.png")] for way in (folder, link)]
    assert annotated(tmp_path / "out", folder).images == 4
    assert annotated(tmp_path / "out", link / "a.png").images == 0
    with pytest.raises(RootError, match="It is a link that leads nowhere"):
        (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
        annotated(tmp_path / "out", tmp_path / "dead")


@pytest.mark.parametrize("prune", [False, True])
def test_prune_is_no_leave_to_count_twice(prune: bool, folder: Path, tmp_path: Path) -> None:
    """A folder within a root that the output holds is refused, with --prune as without."""
    annotated(tmp_path / "out", folder)
    with pytest.raises(OutputError, match="2024 lies within it"):
        annotated(tmp_path / "out", folder / "2024", prune=prune)
    assert len(keys(tmp_path / "out")) == 4
    annotated(tmp_path / "out", folder / "2024", prune=True, detect_size=320)
    assert len(keys(tmp_path / "out")) == 2


def test_what_a_killed_run_has_left_is_held_as_well(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Roots that checkpoints hold images of, and no table yet, are not annotated once more under another name."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("jobs.annotation.tables.publish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        annotated(tmp_path / "out", folder)
    with pytest.raises(OutputError, match="2024 lies within it"):
        annotated(tmp_path / "out", folder / "2024")
