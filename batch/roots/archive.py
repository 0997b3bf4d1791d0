"""A .zip or .tar file as a root: nothing of it is ever unpacked to a disk."""

import threading
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from batch.errors import RootError
from batch.images.formats import has_image_suffix, starts_like_image
from batch.names import from_text
from batch.outcome import ImageFile, Key
from batch.roots.members import Members
from batch.roots.root import ImageSource, InOnePiece, Listed, Listing, Member
from batch.roots.tar_members import TarMembers
from batch.roots.walk import WalkSettings
from batch.roots.zip_members import ZipMembers

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
"""How their names end."""

_opening = threading.Lock()


class Archive(InOnePiece):
    """An archive, which each process opens once and again if it has changed."""

    hint = "Was the archive replaced?"
    can_be_empty = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = self.place = Path(from_text(name))

    def images(self, settings: WalkSettings) -> Listing:
        """The images, found by their first bytes where the suffix does not tell."""
        return Listed(self._images(settings))

    def _images(self, settings: WalkSettings) -> Iterator[ImageFile]:
        members = self._members()
        for path in sorted(members.paths):
            if settings.wants(path) and (has_image_suffix(path) or starts_like_image(members.start(path))):
                yield ImageFile(Key(self.name, path), *members.version(path))

    def is_empty(self) -> bool:
        """Whether there is no file within; raises RootError."""
        return not self._members().paths

    def prepare(self) -> None:
        """Open it, for which a tar has to be gone through once."""
        self._members()

    def check_still_there(self) -> None:
        """Raise RootError if it is not there any more, or damaged."""
        self._members()

    def source(self, path: str) -> ImageSource:
        """The member at a path."""
        return Member(self, path)

    def read(self, path: str) -> bytes:
        """The bytes of a member; raises FileNotFoundError, ImageError, or whatever a damaged one leads to."""
        return self._members().read(path)

    def may_open(self, _path: str) -> bool:
        """No member is refused for a while only."""
        return False

    def landmark(self) -> str:
        """Its size."""
        return str(self._version()[2])

    def sees(self, landmark: str) -> bool:
        """Whether there is a file of that size."""
        return self.landmark() == landmark

    def _members(self) -> Members:
        version = self._version()
        try:
            with _opening:
                return _opened(self.path, version)
        except Exception as error:  # whatever zipfile, tarfile and zlib make of foreign and damaged bytes
            raise RootError(
                f"Cannot read the archive {self.path}: {error}. Is it damaged, or not copied to its end yet?"
            ) from error

    def _version(self) -> tuple[int, ...]:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            raise RootError(f"No such root: {self.path}. Is its disk mounted?") from None
        except OSError as error:
            raise RootError(f"Cannot read the root {self.path}: {error.strerror}.") from error
        return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _opened(file: Path, _version: tuple[int, ...]) -> Members:
    return ZipMembers(file) if file.suffix.lower() == ".zip" else TarMembers(file)
