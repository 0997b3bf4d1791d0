"""Where roots lie to each other, in time that grows with the roots and not with their pairs."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from batch.roots.root import Root

_Place = tuple[type[Root], Path]


class Places:
    """Where roots lie, links followed; each question is answered by the roots of other names."""

    def __init__(self, roots: Iterable[Root]) -> None:
        self._at: defaultdict[_Place, list[Root]] = defaultdict(list)
        self._below: defaultdict[_Place, list[Root]] = defaultdict(list)
        for root in roots:
            self._at[_place(root)].append(root)
            for outer in _around(root):
                self._below[outer].append(root)

    def same_as(self, root: Root) -> list[Root]:
        """Those that are the same by another name, maybe through a link."""
        return [other for other in self._at.get(_place(root), ()) if other.name != root.name]

    def around(self, root: Root) -> list[Root]:
        """Those in which the root lies, the innermost first; folders do not show the archives in them."""
        return [other for place in _around(root) for other in self._at.get(place, ()) if other.name != root.name]

    def within(self, root: Root) -> list[Root]:
        """Those that lie in the root."""
        return [other for other in self._below.get(_place(root), ()) if other.name != root.name]


def _place(root: Root) -> _Place:
    return type(root), Path(os.path.realpath(root.place))


def _around(root: Root) -> list[_Place]:
    kind, place = _place(root)
    return [(kind, parent) for parent in place.parents]
