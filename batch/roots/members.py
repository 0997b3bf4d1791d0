"""What the kinds of archive have in common."""

from collections.abc import Iterable
from functools import partial
from typing import IO, Protocol

from batch.names import to_text
from batch.roots.root import Version, is_hidden

REPLACED = "the archive has been replaced since it was listed"
"""What is said of a member that is not there any more as it was listed: members do not change alone."""

_LATEST = 2**63 - 1  # what an int64 holds


class Members(Protocol):
    """The files within an archive by their paths, as the output writes them; later ones of a name replace earlier."""

    def spelled(self, encoding: str) -> "Members":
        """The same, where names do not say how they are spelled, with names in that encoding."""

    @property
    def paths(self) -> Iterable[str]:
        """The paths, in no particular order, without hidden ones."""

    @property
    def guessed(self) -> Iterable[str]:
        """Those whose names do not say how they are spelled."""

    def version(self, path: str) -> Version:
        """What tells whether it has changed."""

    def start(self, path: str) -> bytes:
        """The first bytes of a member whose suffix is no image's; none if it cannot be read."""

    def read(self, path: str, version: Version | None = None) -> bytes:
        """All bytes, of the member of that version where the path is another spelling of its name.

        Raises TransientError if there is none, FileNotFoundError, ImageError, or whatever a damaged archive makes the
        reader raise.
        """


def plain(name: str) -> str:
    """The name of a member as unpacking makes it: ``/a/b``, ``./a/b`` and ``../a/b`` are ``a/b``."""
    return "/".join(part for part in name.split("/") if part not in ("", ".", ".."))


def member_path(name: str) -> str | None:
    """The path of a member below its archive; None if it is hidden."""
    path = plain(name)
    return None if not path or "\0" in path or is_hidden(path) else to_text(path)


def int64(number: float) -> int:
    """The number as a table can hold it; an archive may declare any, also none."""
    return int(min(max(number, 0), _LATEST)) if number == number else 0  # noqa: PLR0124 - nan alone differs from itself


def whole(stream: IO[bytes], piece: int) -> bytes:
    """Everything from a stream that ends, ``piece`` bytes at a time."""
    return b"".join(iter(partial(stream.read, piece), b""))
