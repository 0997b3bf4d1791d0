"""What has been asked of a disk that has not answered: the system comes back from that in its own time, or never."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import get_ident

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
