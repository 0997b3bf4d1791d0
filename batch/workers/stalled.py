"""Whether an image that took too long hangs as it is decoded, its own fault, or as a disk is read, which is none."""

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from batch.outcome import ImageFile
from batch.roots import image_source, open_root
from batch.roots.archive import Archive

_PATIENCE = 10.0
"""Seconds that a disk has for each piece."""
_PIECE, _PIECES = 2**20, 256
"""Bytes of a piece, and pieces that are read, spread over the file: what was read before may still be in memory."""


def disk_hangs(found: ImageFile) -> bool:
    """Whether the bytes of an image in a folder, or of its archive, stop coming.

    What a disk says of it, an error too, is no hang. A store has a clock of its own.
    """
    root = open_root(found.key.root)
    file = root.path if isinstance(root, Archive) else image_source(found.key, found.version)
    if not isinstance(file, Path):
        return False
    beat, done = [time.monotonic()], threading.Event()

    def read() -> None:
        try:
            with suppress(OSError), file.open("rb", buffering=0) as stream:
                stride = max(_PIECE, os.fstat(stream.fileno()).st_size // _PIECES)
                for number in range(_PIECES):
                    if number:
                        stream.seek(number * stride)
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
