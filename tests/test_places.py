"""Where roots lie to each other."""

import time
from pathlib import Path

from batch.roots import open_root
from batch.roots.places import Places
from batch.roots.root import Root
from jobs.annotation.outputs import check_nested
from jobs.option_values import root_names


def names(roots: list[Root]) -> list[str]:
    return [Path(root.name).name for root in roots]


def test_neighbours_are_found_through_links(tmp_path: Path) -> None:
    """Each root's others: the same by another name, those around it, and those within it."""
    (tmp_path / "outer" / "middle" / "inner").mkdir(parents=True)
    (tmp_path / "outer-most").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "outer" / "middle")
    paths = ("outer", "outer/middle", "outer/middle/inner", "outer-most", "link")
    outer, middle, inner, other, link = roots = [open_root(tmp_path / path) for path in paths]
    places = Places(roots)
    assert [names(places.same_as(root)) for root in roots] == [[], ["link"], [], [], ["middle"]]
    assert names(places.around(inner)) == ["middle", "link", "outer"]
    assert names(places.within(outer)) == ["middle", "inner", "link"]
    assert names(places.within(link)) == names(places.within(middle)) == ["inner"]
    assert not places.around(other)
    assert not places.within(other)


def test_thousands_of_roots_take_moments(tmp_path: Path) -> None:
    """Neither are all pairs of the named roots looked at, nor those with the roots that the output holds."""
    roots = [tmp_path / f"{number}" for number in range(1500)]
    for root in roots:
        root.mkdir()
    since = time.process_time()
    given, _ = root_names(roots)
    check_nested(given, given, tmp_path / "out")
    assert len(given) == len(roots)
    assert time.process_time() - since < 5
