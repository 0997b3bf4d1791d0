"""A folder as a root."""

import stat
from pathlib import Path

from batch.errors import RootError
from batch.images.formats import has_image_suffix, starts_like_image
from batch.names import from_text
from batch.roots.archive import PACKED
from batch.roots.root import ImageSource, Listing, Version, no_such_root
from batch.roots.walk import Walk, WalkSettings
from batch.waiting_for_disks import asking


class Folder:
    """A folder of this machine's file systems."""

    hint = "Is its disk mounted?"
    can_be_empty = True
    is_remote = False
    holds_disks = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = self.place = Path(from_text(name))

    def images(self, settings: WalkSettings) -> Listing:
        """The images, as they are walked to."""
        return Walk(self.path, settings)

    def is_gone(self, path: str) -> bool:
        """Whether there is nothing under that path, or what is no image file; not if that cannot be seen."""
        file = self.path / from_text(path)
        try:
            with asking(file):
                file.lstat()
                if not stat.S_ISREG(file.stat().st_mode):
                    return True
                if has_image_suffix(file.name):
                    return False  # below a link that is not followed
                with file.open("rb") as opened:
                    return not starts_like_image(opened.read(16))
        except (FileNotFoundError, NotADirectoryError):
            return not file.is_symlink()
        except OSError:
            return False

    def has_folder(self, folder: str) -> bool:
        """Whether there is something of that name; also if that cannot be seen."""
        try:
            with asking(self.path / from_text(folder)):
                (self.path / from_text(folder)).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def is_mount_point(self, folder: str) -> bool:
        """Whether another disk lies there than around it, or that cannot be seen; Path.is_mount is not for Windows."""
        place = self.path / from_text(folder)
        try:
            with asking(place):
                return place.stat().st_dev != place.parent.stat().st_dev
        except OSError:
            return True

    def device(self, folder: str) -> int | None:
        """The device that a folder lies on; None if there is no such folder or nothing in it."""
        place = self.path / from_text(folder)
        try:
            with asking(place):
                return place.stat().st_dev if next(place.iterdir(), None) else None
        except OSError:
            return None

    def is_empty(self) -> bool:
        """Whether it has no entry at all; raises RootError."""
        return self._first_entry() is None

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def check_still_there(self) -> None:
        """Raise RootError if it has no entry any more."""
        try:
            gone = self.is_empty()
        except RootError:
            gone = True
        if gone:
            raise RootError(f"The root {self.path} has vanished while it was read. Is its disk still mounted?")

    def source(self, path: str, _version: Version | None = None) -> ImageSource:
        """The file itself."""
        return self.path / from_text(path)

    def may_open(self, path: str) -> bool:
        """Whether the file can be opened."""
        try:
            with asking(self.path / from_text(path)), (self.path / from_text(path)).open("rb"):
                return True
        except OSError:
            return False

    def landmark(self) -> str:
        """The name of an entry."""
        return self._first_entry() or ""

    def sees(self, landmark: str) -> bool:
        """Whether the folder has that entry."""
        with asking(self.path):
            return (self.path / landmark).exists()

    def _first_entry(self) -> str | None:
        try:
            with asking(self.path):
                entry = next(self.path.iterdir(), None)
        except FileNotFoundError:
            raise no_such_root(self.path, is_file=has_image_suffix(self.path.name)) from None
        except NotADirectoryError:
            packed = self.path.name.lower().endswith(PACKED)
            way_out = "Unpack it, or name the folder that holds it" if packed else "Name a folder of photographs"
            raise RootError(
                f"The root {self.path} is a file, and neither a photograph nor a .zip, .tar or .tar.gz. {way_out}."
            ) from None
        except OSError as error:
            raise RootError(f"Cannot list the root {self.path}: {error.strerror}.") from error
        return None if entry is None else entry.name
