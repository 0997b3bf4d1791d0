"""What there is to do."""

import errno
import os
import tracemalloc
from pathlib import Path

import pytest
from conftest import noise

from batch import plan as planning
from batch.errors import RootError
from batch.outcome import ImageFile, Key, Outcome, Status
from batch.plan import Plan
from batch.roots.folder import Folder
from batch.roots.root import Listed
from batch.roots.walk import WalkSettings
from batch.tables.snapshot import KnownImage


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        noise(1).save(tmp_path / name)
    return tmp_path


def known(root: Path, *names: str, failed: bool = False) -> list[KnownImage]:
    images = []
    for name in names:
        status = (root / name).stat() if (root / name).exists() else os.stat_result(range(10))
        images.append(KnownImage(str(root), name, status.st_size, status.st_mtime_ns, failed))
    return images


def plan(root: Path, versions: list[KnownImage], **settings: object) -> tuple[Plan, list[str]]:
    made = Plan((root,), WalkSettings(), versions, frozenset({str(root)}), **settings)
    return made, [found.key.path for found in made]


def test_only_new_and_changed_images_are_due(root: Path) -> None:
    """Known images are left alone unless their size or time has changed; gone ones are named."""
    versions = known(root, "a.png", "b.png", "gone.png")
    os.utime(root / "b.png", ns=(1, 1))
    made, due = plan(root, versions)
    assert (due, made.new, made.changed) == (["b.png", "c/d.png"], 1, 1)
    assert made.deleted == [Key(str(root), "gone.png")]


@pytest.mark.parametrize("other", [{"size_bytes": 1}, {"modified_ns": 1}])
def test_another_size_or_time_is_another_photograph(other: dict[str, int], root: Path) -> None:
    """One of the two is enough, where the other is as it was."""
    images = known(root, "a.png", "b.png", "c/d.png")
    assert plan(root, [images[0]._replace(**other), *images[1:]])[1] == ["a.png"]


def test_failed_images_are_tried_again_when_asked(root: Path) -> None:
    """--retry-failed takes failed images as not done."""
    versions = known(root, "a.png", "b.png", "c/d.png", failed=True)
    assert plan(root, versions)[1] == []
    assert plan(root, versions, retry_failed=True)[1] == ["a.png", "b.png", "c/d.png"]


def test_limit_leaves_the_rest_for_another_run(root: Path) -> None:
    """--limit stops the work, not the walk: nothing is taken for deleted."""
    made, due = plan(root, known(root, "c/d.png"), limit=1)
    assert (due, made.left_over, made.deleted) == (["a.png"], 1, [])
    changed = [image._replace(modified_ns=1) for image in known(root, "a.png", "b.png", "c/d.png")]
    made, due = plan(root, changed, limit=2)
    assert (due, made.changed, made.left_over) == (["a.png", "b.png"], 2, 1)


def test_an_image_is_asked_once_whether_it_adds_a_row(root: Path) -> None:
    """A changed one has its row already; what comes under its key later is counted like any other."""
    versions = known(root, "a.png", "b.png")
    os.utime(root / "b.png", ns=(1, 1))
    made, due = plan(root, versions)
    assert due == ["b.png", "c/d.png"]
    keys = [Key(str(root), path) for path in due]
    assert [made.adds_row(key) for key in (*keys, keys[0])] == [False, True, True]
    assert (made.count(lambda: False), made.count(lambda: True)) == (3, None)


def test_known_images_of_other_roots_are_passed_over(root: Path, tmp_path: Path) -> None:
    """Whether they come before this one's or behind it: a table may hold more roots than a run names."""
    others = [KnownImage(name, "a.png", 1, 1, False) for name in (f"{root}-behind", "/before")]
    (root / "c").joinpath("e.png").touch()
    ours = known(root, "a.png", "b.png", "c/d.png")
    for versions in ([others[1], *ours, others[0]], [others[1]], [others[0]]):
        made, due = plan(root, versions)
        assert due == (["c/e.png"] if len(versions) > 1 else ["a.png", "b.png", "c/d.png", "c/e.png"])
        assert (made.deleted, made.rows_that_stay()) == ([], len(versions))


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


def test_a_folder_that_cannot_be_listed_is_no_disk_that_is_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run goes on, although it holds all the images that were ever seen; their rows stay."""
    listed = os.scandir

    def refusing(place: str) -> object:
        if Path(place).name == "c":
            raise PermissionError(errno.EACCES, "Permission denied")
        return listed(place)

    versions = known(root, "c/d.png")
    for name in ("a.png", "b.png"):
        (root / name).unlink()
    monkeypatch.setattr(os, "scandir", refusing)
    made, due = plan(root, versions)
    assert (due, made.deleted, made.rows_that_stay()) == ([], [], 1)
    assert made.unlistable == {f"{root}/c/": "Permission denied"}


def test_stale_rows_that_go_were_not_counted(root: Path) -> None:
    """Of three images that are gone one had a row of this model, and one that is there has its own."""
    gone = [KnownImage(str(root), f"gone{n}.png", 1, 1, False, stale=n > 0) for n in range(3)]
    made, _ = plan(root, [*known(root, "a.png"), *gone], prune=True)
    assert (len(made.deleted), made.rows_that_stay()) == (3, 1)


@pytest.mark.parametrize(
    ("status", "error", "same"), [(Status.DENIED, "denied", True), (Status.UNREADABLE, "truncated", False)]
)
def test_what_was_denied_is_as_before_only_with_the_same_error(
    status: Status, error: str, same: bool, root: Path
) -> None:
    """An image that can be opened by now, and is damaged, has a new row."""
    [image] = known(root, "a.png", failed=True)
    made = Plan((root,), WalkSettings(include=("a.png",)), [image._replace(refused="denied")])
    [found] = made
    assert made.is_as_before(Outcome(found, status, error)) is same


def test_a_file_as_root_is_refused(root: Path) -> None:
    """A root must be a folder or an archive; another file is told as such."""
    (root / "notes.txt").write_text("no image")
    with pytest.raises(RootError, match="is a file, and neither a photograph nor"):
        plan(root / "notes.txt", [])


def told(monkeypatch: pytest.MonkeyPatch, listing: list[str] | None = None, count: int = 0) -> None:
    """Let roots list these images, or as many as asked for, which are not there."""

    def images(root: Folder, _: WalkSettings) -> Listed:
        names = listing if listing is not None else (f"{number:08d}.jpg" for number in range(count))
        return Listed(ImageFile(Key(root.name, name), 1, 1) for name in names)

    monkeypatch.setattr(Folder, "images", images)
    monkeypatch.setattr(Folder, "is_empty", lambda _: False)


def test_memory_does_not_grow_with_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty thousand known images take no more memory to plan than a few thousand bytes each thousand would."""
    count = 50_000
    told(monkeypatch, count=count)
    known = (KnownImage("/r", f"{number:08d}.jpg", 1, 1, False) for number in range(count))
    tracemalloc.start()
    try:
        made = Plan((Path("/r"),), WalkSettings(), known, frozenset({"/r"}))
        assert list(made) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (made.found, made.rows_that_stay()) == (count, count)
    assert peak < 500_000


def test_roots_that_do_not_list_in_order_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than take known images for deleted, the plan fails."""
    told(monkeypatch, ["b.png", "a.png"])
    with pytest.raises(ValueError, match=r"lists 'a\.png' behind 'b\.png'"):
        list(Plan((Path("/r"),), WalkSettings()))


def test_what_is_known_is_counted_also_if_the_iteration_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Known images of all roots keep their rows, changed ones among them add none, and stale ones do not count."""
    told(monkeypatch, ["a.png", "b.png", "c.png"])
    known = [
        KnownImage("/a", "x.png", 1, 1, False),
        KnownImage("/r", "a.png", 2, 2, False),
        KnownImage("/r", "b.png", 1, 1, False, stale=True),
        KnownImage("/s", "y.png", 1, 1, False),
    ]
    made = Plan((Path("/r"),), WalkSettings(), known)
    due = iter(made)
    first, second = next(due), next(due)
    due.close()
    assert [made.adds_row(found.key) for found in (first, second)] == [False, True]
    assert made.rows_that_stay() == 3


def test_images_of_several_roots_meet_their_own_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each root is compared with what is known below it, whatever lies before, between and behind."""
    told(monkeypatch, ["a.png", "b.png"])
    monkeypatch.setattr(planning, "find_deletions", lambda _, sight: planning.Deletions(sight.unseen))
    known = [KnownImage(root, path, 1, 1, False) for root in ("/1", "/3", "/4", "/9") for path in ("b.png", "c.png")]
    made = Plan((Path("/4"), Path("/2"), Path("/3")), WalkSettings(), known)
    assert [found.key for found in made] == [("/2", "a.png"), ("/2", "b.png"), ("/3", "a.png"), ("/4", "a.png")]
    assert made.deleted == [("/3", "c.png"), ("/4", "c.png")]
    assert (made.found, made.new, made.rows_that_stay()) == (6, 4, 6)
