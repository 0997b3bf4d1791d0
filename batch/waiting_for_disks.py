"""What has been asked of a disk that has not answered: the system comes back from that in its own time, or never."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

_open: dict[int, tuple[str]] = {}


def ask(place: str) -> None:
    """Note that this thread asks the system about a folder or file."""
    _open[get_ident()] = (place,)


def answered() -> None:
    """Note that it has been told."""
    _open.pop(get_ident(), None)


@contextmanager
def asking(place: object) -> Iterator[None]:
    """Note both; while it asks about other places, and until the next one, the question is that."""
    before = _open.get(get_ident())
    ask(str(place))
    try:
        yield
    finally:
        answered()
        if before:
            ask(*before)


def open_questions() -> dict[int, tuple[str]]:
    """Of each thread what it asks about, if it does: the same object for as long as it is the same question."""
    return _open.copy()


class DiskFile(io.FileIO):
    """A file that notes when its disk is asked to open it, for bytes, or to take some."""

    def __init__(self, path: Path, mode: str = "rb", opener: Callable[[str, int], int] | None = None) -> None:
        """Open it; raises OSError."""
        with asking(path):
            super().__init__(path, mode, opener=opener)

    def readinto(self, buffer: Any) -> int | None:
        """Read into a buffer as many bytes as it takes, or there are."""
        with asking(self.name):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        """Read to the end."""
        with asking(self.name):
            return super().readall()

    def write(self, data: Any) -> int:
        """Write; gives how many bytes have been taken."""
        with asking(self.name):
            return super().write(data)

    def close(self) -> None:
        """Close it; some disks take only then what was written."""
        if not self.closed:
            with asking(self.name):
                super().close()


def open_to_read(path: Path) -> io.BufferedReader:
    """A file to read that notes when its disk is asked."""
    return io.BufferedReader(DiskFile(path))
