"""A .zip or .tar file as a root: nothing of it is ever unpacked to a disk."""

import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from batch.errors import RootError
from batch.faults import TransientError
from batch.images.formats import has_image_suffix, starts_like_image
from batch.names import from_text
from batch.outcome import ImageFile, Key
from batch.roots.members import Members
from batch.roots.root import ImageSource, InOnePiece, Listing, Member, Version, no_such_root
from batch.roots.tar_members import TarMembers
from batch.roots.walk import WalkSettings
from batch.roots.zip_members import PART, open_zip
from batch.waiting_for_disks import asking

_TARS = (".tar", ".tar.gz", ".tgz")
_ENDINGS = (".zip", *_TARS)
PACKED = (*_ENDINGS, ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".7z", ".rar")
"""How the names of archives end, also of those that are not read."""

_opening = threading.Lock()


def is_archive(name: str) -> bool:
    """Whether a name is that of an archive, or of a part of one."""
    return name.lower().endswith(_ENDINGS) or PART.search(name) is not None


@dataclass
class Contents:
    """The images in an archive, found by their first bytes where the suffix does not tell."""

    root: str
    members: Members
    settings: WalkSettings
    unlistable: dict[str, str] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[ImageFile]:
        """The images, sorted by path; archives among the members are noted. Raises RootError."""
        members = self.members
        for path in sorted(members.paths):
            if not self.settings.wants(path):
                continue
            if has_image_suffix(path) or self._starts_like_image(path):
                yield ImageFile(Key(self.root, path), *members.version(path))
            elif path.lower().endswith(PACKED):
                self.unopened.append(path)

    def _starts_like_image(self, path: str) -> bool:
        try:
            with asking(self.root):
                return starts_like_image(self.members.start(path))
        except OSError as error:
            raise RootError(f"Cannot read the archive {self.root}: {error.strerror or error}.") from error

    @property
    def guessed(self) -> dict[str, tuple[int, int]]:
        """The paths that may have been spelled in another way, with sizes and times."""
        members, wants = self.members, self.settings.wants
        return {path: members.version(path) for path in members.guessed if wants(path)}


class Archive(InOnePiece):
    """An archive, which each process opens once and again if it has changed."""

    hint = "Was the archive replaced?"
    can_be_empty = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = self.place = Path(from_text(name))

    def images(self, settings: WalkSettings) -> Listing:
        """The images among its members; raises RootError."""
        return Contents(self.name, self._members().spelled(settings.zip_encoding), settings)

    def is_empty(self) -> bool:
        """Whether there is no file within; raises RootError."""
        return not self._members().paths

    def prepare(self) -> None:
        """Open it, for which a tar has to be gone through once."""
        self._members()

    def check_still_there(self) -> None:
        """Raise RootError if it is not there any more, or damaged."""
        self._members()

    def source(self, path: str, version: Version | None = None) -> ImageSource:
        """The member at a path, or of that version if its name has been spelled in another way."""
        return Member(self, path, version)

    def read(self, path: str, version: Version | None) -> bytes:
        """The bytes of a member; raises FileNotFoundError, ImageError, or whatever a damaged one leads to.

        And TransientError if the archive has changed meanwhile, which may have mixed it with another.
        """
        before, failure = self._version(), None
        try:
            content = self._members(before).read(path, version)
        except Exception as error:
            content, failure = b"", error
        if self._version() != before:
            raise TransientError(f"{self.path} has changed while it was read") from failure
        if failure:
            raise failure
        return content

    def may_open(self, _path: str) -> bool:
        """A member that is listed can be read; it had vanished if a folder lay in the archive's place for a while."""
        return True

    def landmark(self) -> str:
        """Its size."""
        return str(self._version()[2])

    def sees(self, landmark: str) -> bool:
        """Whether there is a file of that size."""
        return self.landmark() == landmark

    def _members(self, version: tuple[int, ...] | None = None) -> Members:
        version = version or self._version()
        try:
            with _opening, asking(self.path):
                return _opened(self.path, version)
        except RootError:
            raise
        except UnicodeDecodeError as error:
            raise RootError(
                f"Cannot read the archive {self.path}: a name in it says that it is UTF-8 and is not "
                f"({error.object!r:.100}). Unpack it, and name the folder, or pack it anew."
            ) from error
        except Exception as error:  # whatever zipfile, tarfile and zlib make of foreign and damaged bytes
            raise RootError(
                f"Cannot read the archive {self.path}: {error}. Is it damaged, or not copied to its end yet?"
            ) from error

    def _version(self) -> tuple[int, ...]:
        try:
            with asking(self.path):
                status = self.path.stat()
        except FileNotFoundError:
            raise no_such_root(self.path, is_file=True) from None
        except OSError as error:
            raise RootError(f"Cannot read the root {self.path}: {error.strerror}.") from error
        if not stat.S_ISREG(status.st_mode):
            raise RootError(f"Cannot read the archive {self.path}: it is a pipe or a device, and no regular file.")
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _opened(file: Path, _version: tuple[int, ...]) -> Members:
    return TarMembers(file) if file.name.lower().endswith(_TARS) else open_zip(file)
