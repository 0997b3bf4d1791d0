"""What a root is: images below one name, whether in a folder, an archive or an object store."""

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal, Protocol

from batch.errors import RootError
from batch.outcome import ImageError, ImageFile, Status
from batch.roots.walk import WalkSettings
from batch.waiting_for_disks import asking

Version = tuple[int, int]
"""Bytes, and nanoseconds of the last change, which tell whether an image has changed."""

LARGEST = 2**29
"""Bytes of a member or object that are read into memory at most."""


class ImageSource(Protocol):
    """What an image is read from: a ``Path``, or a member of a root that is no folder."""

    @property
    def name(self) -> str:
        """The last part of its path."""

    @property
    def suffix(self) -> str:
        """The end of its name, with the dot."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO:
        """Its bytes, from the beginning, to be read and sought in; raises OSError or ImageError."""


class Listing(Protocol):
    """The images below a root, as a stream sorted by path; hidden files and folders are left out."""

    @property
    def unlistable(self) -> dict[str, str]:
        """Folders that could not be listed (paths ending in ``/``) and the reasons, complete after the iteration."""

    @property
    def devices(self) -> dict[str, int]:
        """The device that each folder lies on, of a root that holds disks."""

    @property
    def unopened(self) -> list[str]:
        """The archives within an archive, complete after the iteration."""

    @property
    def guessed(self) -> Mapping[str, Version]:
        """The paths in an archive that may have been spelled in another way before, and the files' versions."""

    def __iter__(self) -> Iterator[ImageFile]:
        """List the images; raises RootError if the root cannot be listed."""


class Root(Protocol):
    """Images below one name: how they are listed, how they are opened, and whether they are still there."""

    @property
    def name(self) -> str:
        """The root as the output writes it."""

    @property
    def place(self) -> Path:
        """Where it lies, as an absolute path by which pictures of its images can be filed."""

    @property
    def hint(self) -> str:
        """What a person may look after if images are missing."""

    @property
    def can_be_empty(self) -> bool:
        """Whether an empty one is told from a misspelt one; a store has no empty folders."""

    @property
    def is_remote(self) -> bool:
        """Whether its images have to be fetched, from what may not answer for a while."""

    @property
    def holds_disks(self) -> bool:
        """Whether a part of it may be missing for now: another disk mounted below it, or a link that leads to one."""

    def images(self, settings: WalkSettings) -> Listing:
        """The images that ``settings`` let through."""

    def is_gone(self, path: str) -> bool:
        """Whether there is no image under a path any more, for sure."""

    def has_folder(self, folder: str) -> bool:
        """Whether there is something under the name of a folder, if only a link that leads nowhere."""

    def is_mount_point(self, folder: str) -> bool:
        """Whether another disk is mounted there."""

    def device(self, folder: str) -> int | None:
        """The device that a folder lies on; None if there is no such folder or nothing in it."""

    def is_empty(self) -> bool:
        """Whether nothing at all lies below it; raises RootError if there is no such root or it cannot be listed."""

    def prepare(self) -> None:
        """Do what takes time before the first image is read, however long that is; raises RootError."""

    def check_still_there(self) -> None:
        """Raise RootError if an image that cannot be read is the root's fault, as nothing at all is left of it."""

    def source(self, path: str, version: Version | None = None) -> ImageSource:
        """The image at a path below the root, as the output writes it; of that ``version`` if that tells which."""

    def may_open(self, path: str) -> bool:
        """Whether an image that was refused may be given now; True where only reading it tells."""

    def landmark(self) -> str:
        """What another machine that sees the same root sees, too; raises RootError."""

    def sees(self, landmark: str) -> bool:
        """Whether this machine sees the root that has that landmark; raises RootError."""


class _Readable(Protocol):
    def read(self, path: str, version: Version | None) -> bytes:
        """The bytes of the member at that path."""


@dataclass(frozen=True)
class Member:
    """An image of a root that is no folder; opened, all of its bytes are in memory."""

    root: _Readable
    path: str
    version: Version | None = None

    @property
    def name(self) -> str:
        """The last part of its path."""
        return PurePosixPath(self.path).name

    @property
    def suffix(self) -> str:
        """The end of its name, with the dot."""
        return PurePosixPath(self.path).suffix

    def open(self, _mode: Literal["rb"], /) -> BinaryIO:
        """Its bytes, from the beginning; raises OSError or ImageError."""
        return io.BytesIO(self.root.read(self.path, self.version))


class InOnePiece:
    """What a root is that is listed as a whole, or not at all."""

    is_remote = False
    holds_disks = False

    def is_gone(self, _path: str) -> bool:
        """The listing is to be believed."""
        return True

    def has_folder(self, _folder: str) -> bool:
        """It has no folders but in its images' paths."""
        return False

    def is_mount_point(self, _folder: str) -> bool:
        """No disk is mounted in it."""
        return False

    def device(self, _folder: str) -> int | None:
        """It lies on none."""
        return None


@dataclass
class Listed:
    """A listing that is whole, or raises RootError."""

    images: Iterable[ImageFile]
    unlistable: dict[str, str] = field(default_factory=dict)
    devices: dict[str, int] = field(default_factory=dict)
    unopened: list[str] = field(default_factory=list)
    guessed: Mapping[str, Version] = field(default_factory=dict)

    def __iter__(self) -> Iterator[ImageFile]:
        """The images, sorted by path."""
        return iter(self.images)


def check_size(size: int) -> None:
    """Raise ImageError for more bytes than are read into memory."""
    if size > LARGEST:
        raise ImageError(Status.TOO_LARGE, f"{size} bytes are more than the {LARGEST} that are read into memory")


def no_such_root(place: Path, is_file: bool = False) -> RootError:
    """What to say of a root that is not there, with the name that was meant if only case is wrong."""
    near = None
    with suppress(OSError), asking(place.parent):
        names = (entry.name for entry in place.parent.iterdir())
        near = next((name for name in names if name.casefold() == place.name.casefold()), None)
    missing = f"No such {'file' if is_file else 'root'}: {place}."
    if near == place.name:
        return RootError(f"{missing} It is a link that leads nowhere. Is the disk mounted that it leads to?")
    if near:
        return RootError(f"{missing} Is {near} meant, which lies there?")
    return RootError(f"{missing} Is {'it spelled right, and ' if is_file else ''}its disk mounted?")


def is_hidden(path: str) -> bool:
    """Whether a part of a path starts with a dot, as ``..`` does, too."""
    return any(part.startswith(".") for part in path.split("/"))
