"""What there is to do."""

import os
from pathlib import Path

import pytest
from conftest import noise

from batch.errors import RootError
from batch.outcome import Key
from batch.plan import Plan
from batch.roots.walk import WalkSettings
from batch.tables.snapshot import Version


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(1).save(tmp_path / name)
    return tmp_path


def known(root: Path, *names: str, failed: bool = False) -> dict[Key, Version]:
    versions = {}
    for name in names:
        status = (root / name).stat() if (root / name).exists() else os.stat_result(range(10))
        versions[Key(str(root), name)] = Version(status.st_size, status.st_mtime_ns, failed)
    return versions


def plan(root: Path, versions: dict[Key, Version], **settings: object) -> tuple[Plan, list[str]]:
    made = Plan((root,), WalkSettings(), versions, frozenset({str(root)}), **settings)
    return made, [found.key.path for found in made]


def test_only_new_and_changed_images_are_due(root: Path) -> None:
    """Known images are left alone unless their size or time has changed; gone ones are named."""
    versions = known(root, "a.png", "b.png", "gone.png")
    os.utime(root / "b.png", ns=(1, 1))
    made, due = plan(root, versions)
    assert (due, made.new, made.changed) == (["b.png", "c/d.png"], 1, 1)
    assert made.deleted == [Key(str(root), "gone.png")]


def test_failed_images_are_tried_again_when_asked(root: Path) -> None:
    """--retry-failed takes failed images as not done."""
    versions = known(root, "a.png", "b.png", "c/d.png", failed=True)
    assert plan(root, versions)[1] == []
    assert plan(root, versions, retry_failed=True)[1] == ["a.png", "b.png", "c/d.png"]


def test_limit_leaves_the_rest_for_another_run(root: Path) -> None:
    """--limit stops the work, not the walk: nothing is taken for deleted."""
    made, due = plan(root, known(root, "c/d.png"), limit=1)
    assert (due, made.left_over, made.deleted) == (["a.png"], 1, [])


def test_patterns_do_not_delete_what_they_leave_out(root: Path) -> None:
    """A run over some of the images keeps the rows of the others."""
    made = Plan((root,), WalkSettings(include=("a*",)), known(root, "b.png"), frozenset({str(root)}))
    assert [found.key.path for found in made] == ["a.png"]
    assert made.deleted == []


def test_an_unmounted_disk_deletes_nothing(tmp_path: Path) -> None:
    """A root that is missing, empty, or without images where there were some stops the run, unless --prune."""
    root = tmp_path / "photos"
    versions = known(root, "a.png")
    with pytest.raises(RootError, match="mounted"):
        plan(root, versions)
    root.mkdir()
    with pytest.raises(RootError, match="--prune"):
        plan(root, versions)
    (root / "empty").mkdir()
    with pytest.raises(RootError, match="--prune"):
        plan(root, versions)
    assert plan(root, versions, prune=True)[0].deleted == [Key(str(root), "a.png")]


def test_a_file_as_root_is_refused(root: Path) -> None:
    """A root must be a folder or an archive; another file is told as such."""
    (root / "notes.txt").write_text("no image")
    with pytest.raises(RootError, match="is a file, and neither a photograph nor"):
        plan(root / "notes.txt", {})
