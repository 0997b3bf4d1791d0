"""What an image may cost beside its pixels: memory that decoders do not tell of, and metadata."""

import errno
import mmap
from typing import BinaryIO

from PIL import Image

from batch.outcome import ImageError, Status
from batch.roots.root import ImageSource

_LEAST_MEMORY, _BYTES_A_PIXEL = 2**26, 16
"""What decoders may need: a progressive JPEG alone keeps twelve bytes of each pixel until it is read."""
_MOST_METADATA = 2**25
"""Bytes of EXIF and such in a JPEG, some hundred times what cameras write."""


def check_memory(file: ImageSource, formats: tuple[str, ...]) -> None:
    """Raise ImageError if what is called damaged may only lack memory: libjpeg and libtiff do not tell.

    ``formats`` are those of which opening an image reads the header and no more.
    """
    try:
        with file.open("rb") as stream, Image.open(stream, formats=formats) as image:
            width, height = image.size
        mmap.mmap(-1, _LEAST_MEMORY + _BYTES_A_PIXEL * width * height).close()  # no byte of it is touched
    except (OSError, MemoryError, OverflowError, ValueError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            raise ImageError(Status.TOO_LARGE, "not enough memory to decode it") from error
    except Exception:  # noqa: S110 - a header that Pillow cannot read is damaged enough
        pass


def check_metadata(stream: BinaryIO) -> None:
    """Raise ImageError if a JPEG has more metadata than is read: Pillow's time grows with the square of it."""
    place = 2 if stream.read(2) == b"\xff\xd8" else None
    while place is not None and place <= _MOST_METADATA:
        stream.seek(place)
        head = stream.read(4)
        segment = len(head) == 4 and head[0] == 0xFF and (0xE0 <= head[1] <= 0xEF or head[1] == 0xFE)
        place = place + 2 + int.from_bytes(head[2:], "big") if segment else None
    stream.seek(0)
    if place is not None:
        raise ImageError(Status.TOO_LARGE, f"more than {_MOST_METADATA >> 20} MB of metadata before the image")
