"""What there is to do: the images found, minus what is done."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batch.deletions import Deletions, Sight, find_deletions
from batch.errors import RootError
from batch.outcome import Found, Key
from batch.roots import open_root
from batch.roots.root import Listing, Root
from batch.roots.walk import WalkSettings
from batch.tables.snapshot import Version


@dataclass
class Plan:
    """A stream of the images to annotate, which counts as it goes.

    After the iteration ``deleted`` holds the known images that are gone, ``kept`` below which folders how many are not
    seen whose rows are kept, and ``left_over`` how many ``limit`` left for another run. Images below a folder that
    could not be listed, or that the patterns leave out, keep their rows.
    """

    roots: tuple[Path | str, ...]
    walk: WalkSettings
    known: dict[Key, Version]
    """The images that have an outcome already."""
    filled_roots: frozenset[str] = frozenset()
    """Roots (as the output writes them) that held images when the output was last published."""
    limit: int | None = None
    rescan: bool = False
    """Annotate the known ones anew."""
    retry_failed: bool = False
    prune: bool = False
    stale: frozenset[Key] = frozenset()
    """The images of tables that another model or detector has made."""
    found: int = 0
    new: int = 0
    changed: int = 0
    left_over: int = 0
    deleted: list[Key] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    unlistable: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Know the roots by their names."""
        self._by_name = {root.name: root for root in map(open_root, self.roots)}
        self._sorted_roots = [self._by_name[name] for name in sorted(self._by_name)]
        self._listings: dict[str, Listing] = {}

    def __iter__(self) -> Iterator[Found]:
        """List the roots. Raises RootError for a root that looks like a disk that is not mounted."""
        for root in self._sorted_roots:
            self._check(root)
        for root in self._sorted_roots:
            walk = self.walk.of_root(root.name)
            images = self._listings[root.name] = root.images(walk)
            known = {key for key in (*self.known, *self.stale) if key.root == root.name}
            unseen, new, before = set(known), Counter[str](), self.found
            for found in images:
                self.found += 1
                if found.key in known:
                    unseen.discard(found.key)
                else:
                    new[_folder_of(found.key.path)] += 1
                if self._is_due(found):
                    yield found
            self.unlistable |= {f"{root.name}/{folder}": reason for folder, reason in images.unlistable.items()}
            wanted = {key for key in known if walk.wants(key.path)}
            unseen = {key for key in unseen & wanted if not key.path.startswith(tuple(images.unlistable))}
            emptied = unseen or (root.name in self.filled_roots and not walk.is_choosy)
            if self.found == before and emptied and not images.unlistable and not self.prune:
                raise _looks_unmounted(root)
            self._settle(root, Sight(wanted, unseen, new, images.devices))

    def has_moved(self, found: Found) -> bool:
        """Whether the folder of an image has vanished, is empty, or lies on another device than when it was listed."""
        folder, root = _folder_of(found.key.path), self._by_name[found.key.root]
        devices = self._listings[root.name].devices
        return folder in devices and root.device(folder) != devices[folder]

    def count(self) -> int:
        """How many images there are below the roots, done or not, by a listing of its own."""
        return sum(1 for root in self._sorted_roots for _ in root.images(self.walk.of_root(root.name)))

    def _check(self, root: Root) -> None:
        """Raise RootError if there is no such root, or it is empty and should not be."""
        if not root.is_empty() or self.prune:
            return
        if root.name in self.filled_roots:
            raise _looks_unmounted(root)
        if not root.can_be_empty:
            raise RootError(f"Nothing lies below {root.name}. {root.hint}")

    def _is_due(self, found: Found) -> bool:
        version = self.known.get(found.key)
        unchanged = version is not None and (version.size_bytes, version.modified_ns) == found[1:]
        if version and unchanged and not self.rescan and not (self.retry_failed and version.failed):
            return False
        if self.limit is not None and self.new + self.changed >= self.limit:
            self.left_over += 1
            return False
        if version:
            self.changed += 1
        else:
            self.new += 1
        return True

    def _settle(self, root: Root, sight: Sight) -> None:
        """Note which of the images that were not seen are deleted, and of which the rows are kept."""
        deletions = Deletions(sorted(sight.unseen)) if self.prune else find_deletions(root, sight)
        self.deleted += deletions.gone
        self.kept.update({f"{root.name}/{folder}": count for folder, count in deletions.kept.items()})


def _folder_of(path: str) -> str:
    return path[: path.rfind("/") + 1]


def _looks_unmounted(root: Root) -> RootError:
    return RootError(
        f"No image below {root.name}, where there were some. {root.hint} If the images are gone for good, "
        "say --prune to remove their rows."
    )
