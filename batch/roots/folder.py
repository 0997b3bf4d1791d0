"""A folder as a root."""

from pathlib import Path

from batch.errors import RootError
from batch.names import from_text
from batch.roots.root import ImageSource, Listing
from batch.roots.walk import Walk, WalkSettings


class Folder:
    """A folder of this machine's file systems."""

    hint = "Is its disk mounted?"
    can_be_empty = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.path = self.place = Path(from_text(name))

    def images(self, settings: WalkSettings) -> Listing:
        """The images, as they are walked to."""
        return Walk(self.path, settings)

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

    def source(self, path: str) -> ImageSource:
        """The file itself."""
        return self.path / from_text(path)

    def landmark(self) -> str:
        """The name of an entry."""
        return self._first_entry() or ""

    def sees(self, landmark: str) -> bool:
        """Whether the folder has that entry."""
        return (self.path / landmark).exists()

    def _first_entry(self) -> str | None:
        try:
            entry = next(self.path.iterdir(), None)
        except FileNotFoundError:
            raise RootError(f"No such root: {self.path}. {self.hint}") from None
        except NotADirectoryError:
            raise RootError(
                f"The root {self.path} is a file, and no .zip, .tar or .tar.gz. Unpack it, or name the folder that "
                "holds it."
            ) from None
        except OSError as error:
            raise RootError(f"Cannot list the root {self.path}: {error.strerror}.") from error
        return None if entry is None else entry.name
