"""What there is to do: the images found, minus what is done."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from batch.deletions import Deletions, Sight, find_deletions, folder_of
from batch.errors import RootError
from batch.outcome import ImageFile, Key, Outcome
from batch.roots import open_root
from batch.roots.outages import answered_in_time, heard
from batch.roots.root import Listing, Root
from batch.roots.walk import WalkSettings
from batch.spellings import renamed_paths
from batch.tables.snapshot import KnownImage


@dataclass
class Plan:
    """A stream of the images to annotate, which counts as it goes: what is found and what is known, side by side.

    After the iteration ``deleted`` holds the known images that are gone, ``renamed`` the new paths of others,
    ``kept`` below which folders how many are not seen whose rows are kept, and ``left_over`` how many ``limit`` left
    for another run. Images below a folder that could not be listed, or that the patterns leave out, keep their rows.
    Memory grows with the folders, with what is given out and with what is missing, and not with what is known.
    """

    roots: tuple[Path | str, ...]
    walk: WalkSettings
    known: Iterable[KnownImage] = ()
    """The images that have rows already, sorted by root and path; read once, and opened before any is given out."""
    filled_roots: frozenset[str] = frozenset()
    """Roots (as the output writes them) that held images when the output was last published."""
    limit: int | None = None
    rescan: bool = False
    """Annotate the known ones anew."""
    retry_failed: bool = False
    prune: bool = False
    store_timeout: float = 0.0
    """Seconds that a store is waited for which does not answer."""
    listing: str | None = None
    """The root that is being listed."""
    found: int = 0
    new: int = 0
    changed: int = 0
    left_over: int = 0
    deleted: list[Key] = field(default_factory=list)
    renamed: dict[Key, str] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    """The roots below which no image was found."""
    kept: Counter[str] = field(default_factory=Counter)
    unlistable: dict[str, str] = field(default_factory=dict)
    unopened: dict[str, list[str]] = field(default_factory=dict)
    """Of each root the archives within."""

    def __post_init__(self) -> None:
        """Know the roots by their names."""
        self._by_name = {root.name: root for root in map(open_root, self.roots)}
        self._sorted_roots = [self._by_name[name] for name in sorted(self._by_name)]
        self._listings: dict[str, Listing] = {}
        self._refused: dict[Key, str] = {}
        self._rest, self._rows = self._counted(), 0
        self._due_again: set[Key] = set()

    def __iter__(self) -> Iterator[ImageFile]:
        """List the roots. Raises RootError for a root that looks like a disk that is not mounted."""
        for root in self._sorted_roots:
            self.listing = root.name
            self._check(root)
        below = groupby(self._rest, itemgetter(0))
        name, known = next(below, _NONE)
        for root in self._sorted_roots:
            self.listing = root.name
            while name and name < root.name:
                name, known = next(below, _NONE)
            yield from self._due(root, known if name == root.name else iter(()))
        self.listing = None

    def has_moved(self, found: ImageFile) -> bool:
        """Whether the folder of an image has vanished, is empty, or lies on another device than when it was listed."""
        folder, root = folder_of(found.key.path), self._by_name[found.key.root]
        devices = self._listings[root.name].devices
        return folder in devices and root.device(folder) != devices[folder]

    def is_as_before(self, outcome: Outcome) -> bool:
        """Whether an image that was denied, or had vanished, is so still: its row stands already."""
        refused = self._refused.pop(outcome.found.key, None)
        return refused is not None and refused == outcome.error

    def count(self, given_up: Callable[[], bool]) -> int | None:
        """How many images there are below the roots, done or not, by a listing of its own; None if ``given_up``."""
        every = (image for root in self._sorted_roots for image in root.images(self.walk.of_root(root.name)))
        counted = 0
        for _ in every:
            if given_up():
                return None
            counted += 1
        return counted

    def adds_row(self, key: Key) -> bool:
        """Whether an image that was given out had no row yet; asked once, when it is done."""
        had_one = key in self._due_again
        self._due_again.discard(key)
        return not had_one

    def rows_that_stay(self) -> int:
        """How many of the known images keep their row, or get a newer one; stale ones do not count."""
        for _ in self._rest:
            pass  # if the iteration was given up
        return self._rows

    def _counted(self) -> Iterator[KnownImage]:
        for image in self.known:
            self._rows += not image.stale
            yield image

    def _due(self, root: Root, known: Iterator[KnownImage]) -> Iterator[ImageFile]:
        """The images of a root that are to be annotated; at its end notes what became of the known ones."""
        walk = self.walk.of_root(root.name)
        images = self._listings[root.name] = root.images(walk)
        sight, before, left_out = Sight(images.devices), self.found, list[str]()
        for found, image in _side_by_side(images, self._spelled_as_now(images, known)):
            if found is None:
                if image and walk.wants(image.path):
                    sight.unseen.append(image)
                elif image and len(left_out) < _ENOUGH:
                    left_out.append(image.path)
                continue
            self.found += 1
            if image:
                sight.see(image.path)
            else:
                sight.new[folder_of(found.key.path)] += 1
            if self._is_due(found, image):
                yield found
        if images.unopened:
            self.unopened[root.name] = images.unopened
        self.unlistable |= {f"{root.name}/{folder}": reason for folder, reason in images.unlistable.items()}
        sight.pass_over(tuple(images.unlistable))
        emptied = sight.unseen or (root.name in self.filled_roots and not walk.is_choosy)
        looks_empty = self.found == before and emptied and not images.unlistable and not self.prune
        if looks_empty and all(map(root.is_gone, left_out)):
            raise _looks_unmounted(root)
        if self.found == before:
            self.empty.append(root.name)
        self._settle(root, sight)

    def _spelled_as_now(self, images: Listing, known: Iterator[KnownImage]) -> Iterator[KnownImage]:
        """The known images of a root, sorted by their paths of now: a row follows its image to another spelling."""
        if not images.guessed:
            return known
        here = list(known)
        paths = renamed_paths(here, images.guessed)
        self.renamed |= {Key(here[0].root, old): new for old, new in paths.items()}
        return iter(sorted(image._replace(path=paths.get(image.path, image.path)) for image in here))

    def _check(self, root: Root) -> None:
        """Raise RootError if there is no such root, or it is empty and should not be."""
        if not heard(answered_in_time(root.name, root.is_empty, self.store_timeout)) or self.prune:
            return
        if root.name in self.filled_roots:
            raise _looks_unmounted(root)
        if not root.can_be_empty:
            raise RootError(f"Nothing lies below {root.name}. {root.hint}")

    def _is_due(self, found: ImageFile, image: KnownImage | None) -> bool:
        has_row = image is not None and not image.stale
        again = self.rescan or (self.retry_failed and image is not None and image.failed)
        if image and has_row and not again and image[2:4] == found.version and not self._is_open_now(found.key, image):
            return False
        if self.limit is not None and self.new + self.changed >= self.limit:
            self.left_over += 1
            return False
        if has_row:
            self.changed += 1
            self._due_again.add(found.key)
        else:
            self.new += 1
        return True

    def _is_open_now(self, key: Key, image: KnownImage) -> bool:
        """Whether an image that was denied, or had vanished, may be readable by now."""
        if image.refused is None or not self._by_name[key.root].may_open(key.path):
            return False
        self._refused[key] = image.refused
        return True

    def _settle(self, root: Root, sight: Sight) -> None:
        """Note which of the images that were not seen are deleted, and of which the rows are kept."""
        deletions = Deletions(sight.unseen) if self.prune else find_deletions(root, sight)
        self.deleted += (Key(*image[:2]) for image in deletions.gone)
        self._rows -= sum(not image.stale for image in deletions.gone)
        self.kept.update({f"{root.name}/{folder}": count for folder, count in deletions.kept.items()})


_ENOUGH = 100
"""Known images that the patterns or the shard leave out, of which one that is there shows that their disk is."""

_NONE: tuple[str, Iterator[KnownImage]] = ("", iter(()))


def _side_by_side(
    listing: Iterable[ImageFile], known: Iterator[KnownImage]
) -> Iterator[tuple[ImageFile | None, KnownImage | None]]:
    """The images found below a root and those known of it, each with its other if it has one."""
    image, last = next(known, None), ""
    for found in listing:
        path = found.key.path
        if path <= last:  # else rows would be taken for deleted
            raise ValueError(f"{found.key.root} lists {path!r} behind {last!r}")
        last = path
        while image is not None and image.path < path:
            yield None, image
            image = next(known, None)
        if image is not None and image.path == path:
            yield found, image
            image = next(known, None)
        else:
            yield found, None
    while image is not None:
        yield None, image
        image = next(known, None)


def _looks_unmounted(root: Root) -> RootError:
    return RootError(
        f"No image below {root.name}, where there were some. {root.hint} If the images are gone for good, "
        "say --prune to remove their rows."
    )
