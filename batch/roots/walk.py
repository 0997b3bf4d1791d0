"""Walk roots and stream the images below them, in the order of the output."""

import os
import stat
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from batch.errors import RootError
from batch.faults import may_heal
from batch.images.formats import has_image_suffix, starts_like_image
from batch.names import from_text, to_text
from batch.outcome import ImageFile, Key
from batch.waiting_for_disks import answered, ask, asking

CODE_PAGE = "cp437"
"""The encoding of names in zips that do not say theirs, by the format's specification (APPNOTE.TXT, appendix D)."""
_SIGN = 256
"""Entries of a folder after which it has shown that its disk does not hang."""
_LATEST = 2**63 - 1  # the year 2262, the last that an int64 of nanoseconds can tell; the first is 1677


@dataclass(frozen=True)
class WalkSettings:
    """What the walk takes in. Patterns are globs over the path below the root, a name, or a folder; they mind case."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    follow_symlinks: bool = False
    shard: tuple[int, int] = (1, 1)
    """Which part of how many: each image belongs to one, by a hash of its path below the root."""
    zip_encoding: str = CODE_PAGE
    """How names in zips are spelled that are not UTF-8 and do not say it."""
    photographs: frozenset[Key] = frozenset()
    """Single ones: of a root that has some here nothing else is taken in."""
    paths: frozenset[str] | None = None
    """Those of the root at hand, as ``of_root`` gives them; None: whatever lies below it."""

    @property
    def takes_all(self) -> bool:
        """Whether it leaves out nothing."""
        return self.shard[1] == 1 and not self.is_choosy

    @property
    def is_choosy(self) -> bool:
        """Whether it may leave out all images of a root that has some."""
        return bool(self.include or self.exclude) or self.paths is not None

    def of_root(self, root: str) -> "WalkSettings":
        """The settings for a root of that name."""
        return replace(self, paths=frozenset(key.path for key in self.photographs if key.root == root) or None)

    def wants(self, path: str) -> bool:
        """Whether the image at ``path`` (below its root) belongs to the shard and the patterns let it through."""
        if self.paths is not None and path not in self.paths:
            return False
        part, parts = self.shard
        if parts > 1 and zlib.crc32(path.encode()) % parts != part - 1:
            return False
        included = not self.include or _matches(path, self.include)
        return included and not (self.exclude and _matches(path, self.exclude))


def _matches(path: str, patterns: tuple[str, ...]) -> bool:
    parts = path.split("/")
    places = {path, *parts, *("/".join(parts[:depth]) for depth in range(2, len(parts)))}
    return any(fnmatchcase(place, pattern.rstrip("/")) for pattern in patterns for place in places)


@dataclass
class Walk:
    """The images below one root, as a stream sorted by path; hidden files and folders are left out.

    After (and during) the iteration, ``unlistable`` maps each folder that could not be listed (its path below the
    root, ending in ``/``) to the reason, and ``devices`` each folder to the device that it lies on.
    """

    root: Path
    settings: WalkSettings
    unlistable: dict[str, str] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)
    guessed: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Know the root as the output writes it, and as the start of its images' paths."""
        self._name, self._start = to_text(str(self.root)), os.path.join(self.root, "")
        self._takes_all = self.settings.takes_all

    def __iter__(self) -> Iterator[ImageFile]:
        """The images, each as it is come to."""
        return self._walked() if self.settings.paths is None else self._named(sorted(self.settings.paths))

    def _named(self, paths: list[str]) -> Iterator[ImageFile]:
        """Those of single photographs that are there."""
        for path in paths:
            folder = path[: path.rfind("/") + 1]
            self.devices[folder] = _identity(self.root / from_text(folder))[0]
            found = self._found(path)
            if found is not None:
                yield found

    def _walked(self) -> Iterator[ImageFile]:
        """Depth first with an explicit stack, so that no depth is too deep."""
        stack = [self._entries("")]
        trail = [_identity(self.root)]
        self.devices[""] = trail[0][0]
        while stack:
            path = next(stack[-1], None)
            if path is None:
                stack.pop()
                trail.pop()
            elif path.endswith("/"):
                identity = _identity(self._start + from_text(path))
                if identity not in trail:  # else a symbolic link leads back up
                    trail.append(identity)
                    self.devices[path] = identity[0]
                    stack.append(self._entries(path))
            elif found := self._found(path):
                yield found

    def _entries(self, folder: str) -> Iterator[str]:
        """The paths of a folder's entries, folders' ending in ``/``, sorted so that whole paths are.

        Of a folder of a million, nothing but the names is held.
        """
        place, names = self._start + from_text(folder), []
        ask(place)
        try:
            with os.scandir(place) as listing:
                for entry in listing:
                    if not entry.name.startswith("."):
                        names.append(to_text(entry.name) + ("/" if self._is_folder(entry) else ""))
                    if len(names) % _SIGN == 0:
                        ask(place)  # it answers, however long that takes
        except OSError as error:
            if not folder:
                raise RootError(f"Cannot list the root {self.root}: {error.strerror}.") from error
            self.unlistable[folder] = error.strerror or str(error)
            names = []
        finally:
            answered()
        names.sort()
        return map(folder.__add__, names)

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        try:
            return entry.is_dir(follow_symlinks=self.settings.follow_symlinks)
        except OSError:
            return False

    def _found(self, path: str) -> ImageFile | None:
        if not (self._takes_all or self.settings.wants(path)):
            return None
        file, named_image = self._start + from_text(path), has_image_suffix(path)
        ask(file)
        try:
            status = os.stat(file)
        except OSError:  # a link that leads nowhere, or a file that has just vanished
            return ImageFile(Key(self._name, path), 0, 0) if named_image else None
        finally:
            answered()
        if not stat.S_ISREG(status.st_mode) or not (named_image or holds_image(file)):
            return None
        return ImageFile(Key(self._name, path), *version_of(status))


def version_of(status: os.stat_result) -> tuple[int, int]:
    """A file's size in bytes and its time in nanoseconds, as a table holds them."""
    return status.st_size, max(-_LATEST, min(status.st_mtime_ns, _LATEST))


def _identity(folder: str | Path) -> tuple[int, int]:
    try:
        with asking(folder):
            status = os.stat(folder)
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino


def holds_image(file: str | os.PathLike[str]) -> bool:
    """Whether a file starts as an image does; it may if it cannot be read for now, and not if that is refused."""
    try:
        with asking(file), open(file, "rb") as opened:
            return starts_like_image(opened.read(16))
    except OSError as error:
        return may_heal(error)
