"""Camera RAW photographs for the tests: the astronaut as a DNG, as a camera would have written it."""

import io
import struct

import numpy as np
from conftest import astronaut
from PIL import Image

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 10: 8}
_CODES = {1: "B", 3: "H", 4: "I", 10: "i"}
_MOMENT = b"2019:07:04 12:30:05\0"
_EXIF_AT, _SENSOR_AT, _PIXELS_AT = 1500, 2000, 4000

Entry = tuple[int, int, bytes | tuple[int, ...]]


def write_dng(orientation: int, preview: int | None) -> bytes:
    """A DNG 1.4 (Adobe's specification) whose sensor saw the astronaut as EXIF ``orientation`` 1, 3, 6 or 8 tells.

    It carries a JPEG of ``preview`` pixels a side, or none.
    """
    turned = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]
    seen = astronaut().rotate(turned, expand=True)
    pixels = np.asarray(seen)
    sensor = np.empty(pixels.shape[:2], "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, column::2] = pixels[row::2, column::2, channel].astype(np.uint16) * 16
    jpeg = _jpeg(seen.resize((preview, preview))) if preview else b""
    jpeg += b"\0" * (len(jpeg) % 2)
    identity = (1, 0, 0, 0, 1, 0, 0, 0, 1)
    about: list[Entry] = [
        (271, 2, b"Test\0"),
        (272, 2, b"camera\0"),
        (274, 3, (orientation,)),
        (306, 2, _MOMENT),
        (34665, 4, (_EXIF_AT,)),
        (50706, 1, (1, 4, 0, 0)),
        (50708, 2, b"Test camera\0"),
        (50721, 10, sum(((number, 1) for number in identity), ())),
    ]
    raw = [*_picture(0, seen.size, 16, 32803, _PIXELS_AT + len(jpeg), sensor.nbytes), (259, 3, (1,)), (277, 3, (1,))]
    raw += [(33421, 3, (2, 2)), (33422, 1, (0, 1, 1, 2)), (50717, 4, (4095,))]
    if preview:
        small = [*_picture(1, (preview, preview), 8, 6, _PIXELS_AT, len(jpeg)), (259, 3, (7,)), (277, 3, (3,))]
        first = [*about, *small, (330, 4, (_SENSOR_AT,))]
    else:
        first = [*about, *raw]
    file = b"II*\0" + struct.pack("<I", 8) + _directory(8, first)
    file = file.ljust(_EXIF_AT, b"\0") + _directory(_EXIF_AT, [(36867, 2, _MOMENT)])
    file = file.ljust(_SENSOR_AT, b"\0") + _directory(_SENSOR_AT, raw)
    return file.ljust(_PIXELS_AT, b"\0") + jpeg + sensor.tobytes()


def _jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def _picture(kind: int, size: tuple[int, int], bits: int, colours: int, offset: int, length: int) -> list[Entry]:
    width, height = size
    return [
        (254, 4, (kind,)),
        (256, 4, (width,)),
        (257, 4, (height,)),
        (258, 3, (bits,) * (3 if colours == 6 else 1)),
        (262, 3, (colours,)),
        (273, 4, (offset,)),
        (278, 4, (height,)),
        (279, 4, (length,)),
    ]


def _directory(place: int, entries: list[Entry]) -> bytes:
    """A TIFF directory that stands at ``place``, with its longer values behind it."""
    behind = place + 2 + 12 * len(entries) + 4
    head, tail = struct.pack("<H", len(entries)), b""
    for tag, kind, values in sorted(entries):
        raw = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{_CODES[kind]}", *values)
        head += struct.pack("<HHI", tag, kind, len(raw) // _SIZES[kind])
        if len(raw) > 4:
            head += struct.pack("<I", behind + len(tail))
            tail += raw + b"\0" * (len(raw) % 2)
        else:
            head += raw.ljust(4, b"\0")
    return head + b"\0\0\0\0" + tail
