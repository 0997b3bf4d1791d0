"""Fetch images that lie in a store, by a clock of their own and with patience: decoding has its time afterwards."""

import io
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from batch.errors import OutageError
from batch.faults import TransientError
from batch.outcome import ImageError, ImageFile, Waiting
from batch.roots import open_root
from batch.roots.outages import answered_in_time, jittered
from batch.roots.root import ImageSource

_PAUSES = (0.2, 0.8, 2.4)
"""Seconds before an image is asked for again: a store that is busy refuses some."""

_given_up: dict[str, str] = {}
"""The roots that have not answered for too long, and why: the rest of their images is not asked for in this run."""


class StoreGivenUp(Exception):
    """A root has not answered for so long that none of its images is asked for any more."""


@dataclass(frozen=True)
class Fetched:
    """An image whose bytes are here, or the error with which they were refused."""

    name: str
    suffix: str
    content: bytes | Exception

    def open(self, _mode: Literal["rb"], /) -> BinaryIO:
        """Its bytes, from the beginning; raises that error."""
        if isinstance(self.content, Exception):
            raise self.content
        return io.BytesIO(self.content)


def fetched(found: ImageFile, patience: float) -> Generator[Waiting, None, ImageSource]:
    """What the image can be read from; of a store's image the bytes are fetched, and waited for while it is out.

    Raises StoreGivenUp after ``patience`` seconds without any answer, and RootError if nothing is left of the root. If
    the store answers and does not give this image, that is what opening it raises.
    """
    root = open_root(found.key.root)
    source = root.source(found.key.path, found.version)
    if not root.is_remote:
        return source
    while True:
        _check_not_given_up(root.name)
        content = _asked_for(source)
        if not isinstance(content, TransientError) or not (yield from store_was_out(found.key.root, patience)):
            return Fetched(source.name, source.suffix, content)


def store_was_out(name: str, patience: float) -> Generator[Waiting, None, bool]:
    """Wait until a root answers; gives whether that took more than one question. Raises as ``fetched`` does."""
    was_out = False
    try:
        for told in answered_in_time(name, open_root(name).check_still_there, patience):
            was_out = True
            yield told
    except OutageError as error:
        _given_up[name] = str(error)
    _check_not_given_up(name)
    return was_out


def _check_not_given_up(name: str) -> None:
    if name in _given_up:
        raise StoreGivenUp(_given_up[name])


def forget_outages() -> None:
    """Ask all roots again: another run begins."""
    _given_up.clear()


def _asked_for(source: ImageSource) -> bytes | Exception:
    """The bytes, after some tries if need be, or with what they were refused in the end."""
    for pause in (*_PAUSES, None):
        try:
            with source.open("rb") as stream:
                return stream.read()
        except TransientError as error:
            if pause is None or _was_silent(error):
                return error
            time.sleep(jittered(pause))
        except (FileNotFoundError, PermissionError, ImageError) as error:
            return error
    raise AssertionError("the last try has no pause")


def _was_silent(error: TransientError) -> bool:
    """Whether time ran out, which had better not happen several times over before anybody says so."""
    return any("Timeout" in kind.__name__ for kind in type(error.__cause__).__mro__)  # each client has its own
