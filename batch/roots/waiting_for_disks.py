"""What has been asked of a disk that has not answered: the system comes back from that in its own time, or never."""

import time
from threading import get_ident

_asked: dict[int, tuple[str, float]] = {}
"""Of each thread what it asks about, and since when."""


def ask(place: str) -> None:
    """Note that this thread asks the system about a folder or file."""
    _asked[get_ident()] = place, time.monotonic()


def answered() -> None:
    """Note that it has been told."""
    _asked.pop(get_ident(), None)


def silent_for(seconds: float) -> str | None:
    """What has been asked about for longer without an answer, if anything."""
    before = time.monotonic() - seconds
    return next((place for place, since in list(_asked.values()) if since < before), None)
