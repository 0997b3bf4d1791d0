"""Whether an image that took too long hangs as it is decoded, its own fault, or as a disk is read, which is none."""

import threading
import time
from contextlib import suppress
from pathlib import Path

from batch.outcome import ImageFile
from batch.roots import image_source

_PATIENCE = 10.0
"""Seconds that a disk has for each piece."""
_PIECE, _PIECES = 2**20, 256
"""Bytes of a piece, and pieces that are read at most: more than any photograph has that can be decoded in time."""


def disk_hangs(found: ImageFile) -> bool:
    """Whether the bytes of an image in a folder stop coming. What a disk says of it, an error too, is no hang."""
    file = image_source(found.key, found[1:])
    if not isinstance(file, Path):  # an archive was read in part before, and a store has a clock of its own
        return False
    beat, done = [time.monotonic()], threading.Event()

    def read() -> None:
        try:
            with suppress(OSError), file.open("rb", buffering=0) as stream:
                for _ in range(_PIECES):
                    if not stream.read(_PIECE):
                        break
                    beat[0] = time.monotonic()
        finally:
            done.set()

    threading.Thread(target=read, daemon=True).start()
    while not done.wait(0.1):
        if time.monotonic() - beat[0] > _PATIENCE:
            return True
    return False
