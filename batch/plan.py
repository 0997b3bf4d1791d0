"""What there is to do: the images found, minus what is done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batch.errors import RootError
from batch.names import to_text
from batch.outcome import Found, Key
from batch.snapshot import Version
from batch.walk import Walk, WalkSettings


@dataclass
class Plan:
    """A stream of the images to annotate, which counts as it goes.

    After the iteration ``deleted`` holds the known images that are gone, and ``left_over`` how many ``limit`` left
    for another run. Images below a folder that could not be listed, or that the patterns leave out, keep their rows.
    """

    roots: tuple[Path, ...]
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
    found: int = 0
    new: int = 0
    changed: int = 0
    left_over: int = 0
    deleted: list[Key] = field(default_factory=list)
    unlistable: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Found]:
        """Walk the roots. Raises RootError for a root that looks like a disk that is not mounted."""
        by_root = {to_text(str(root)): root for root in self.roots}
        unseen = {name: {key for key in self.known if key.root == name} for name in by_root}
        for name, root in by_root.items():
            _check_root(root, name in self.filled_roots and not self.prune)
        for name in sorted(by_root):
            walk = Walk(by_root[name], self.walk)
            before = self.found
            for found in walk:
                self.found += 1
                unseen[name].discard(found.key)
                if self._is_due(found):
                    yield found
            emptied = self.found == before and name in self.filled_roots and not self.walk.include
            if emptied and not walk.unlistable and not self.prune:
                raise _looks_unmounted(by_root[name])
            self.unlistable |= {f"{name}/{folder}": reason for folder, reason in walk.unlistable.items()}
            self.deleted += [key for key in sorted(unseen[name]) if self._is_gone(key, walk.unlistable)]

    def count(self) -> int:
        """How many images there are below the roots, done or not, by a walk of its own."""
        return sum(1 for root in self.roots for _ in Walk(root, self.walk))

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

    def _is_gone(self, key: Key, unlistable: Iterable[str]) -> bool:
        return self.walk.wants(key.path) and not key.path.startswith(tuple(unlistable))


def _check_root(root: Path, expect_images: bool) -> None:
    try:
        empty = next(root.iterdir(), None) is None
    except FileNotFoundError:
        raise RootError(f"No such root: {root}. Is its disk mounted?") from None
    except NotADirectoryError:
        raise RootError(f"The root {root} is a file. Name the folder that holds it.") from None
    except OSError as error:
        raise RootError(f"Cannot list the root {root}: {error.strerror}.") from error
    if empty and expect_images:
        raise _looks_unmounted(root)


def _looks_unmounted(root: Path) -> RootError:
    return RootError(
        f"No image below {root}, where there were some. Is its disk mounted? If the images are gone for good, "
        "say --prune to remove their rows."
    )
