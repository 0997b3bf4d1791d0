"""EXIF of any kind, in real files."""

import io
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from batch.images.decode import Photograph, read_photograph

WIDTH, HEIGHT = 24, 16
STORED = Image.linear_gradient("L").rotate(30).crop((40, 60, 40 + WIDTH, 60 + HEIGHT))
"""A picture whose eight orientations all differ."""
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION, DETAILS, TAKEN, DIGITIZED, OFFSET, SUBSECOND = 0x0112, 0x8769, 0x9003, 0x9004, 0x9011, 0x9291
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
"""Bytes of a value, by TIFF's number of its type (TIFF 6.0, section 2); 2 is text, 3 a short."""

Entry = tuple[int, int, int, bytes]
"""Tag, type, count, and the bytes of the value."""


def directory(entries: list[Entry], at: int) -> bytes:
    """A little-endian TIFF directory that begins ``at`` bytes into EXIF, with its longer values behind it."""
    rows, behind = b"", b""
    start = at + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", start + len(behind))
        behind += value if len(value) > 4 else b""
        rows += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(entries)) + rows + bytes(4) + behind


def exif(*entries: Entry, details: tuple[Entry, ...] = ()) -> bytes:
    """EXIF with the ``entries``, and with ``details`` in the directory of its own that the moment stands in."""
    pointer = (DETAILS, 4, 1, bytes(4))
    first = directory([*entries, pointer], 8)
    pointer = (DETAILS, 4, 1, struct.pack("<I", 8 + len(first)))
    return b"II*\0\x08\0\0\0" + directory([*entries, pointer], 8) + directory(list(details), 8 + len(first))


def text(tag: int, content: bytes) -> Entry:
    return tag, 2, len(content), content


@contextmanager
def file_with(blob: bytes, suffix: str) -> Iterator[Path]:
    """A real file of ``STORED`` with that EXIF; a TIFF's directory is the image's own, so EXIF's entries join it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"a.{suffix}")
        lossless = {"lossless": True} if suffix == "webp" else {}
        STORED.save(file, exif=b"Exif\0\0" + blob, **lossless)
        yield file


def read(blob: bytes, suffix: str) -> Photograph:
    """The photograph, after a look at what holds whatever the EXIF: its pixels are read, its moment is plausible."""
    with file_with(blob, suffix) as file:
        photograph = read_photograph(file, 10_000, 4096)
    assert sorted((photograph.width, photograph.height)) == [HEIGHT, WIDTH]
    assert photograph.gray.shape == (photograph.height, photograph.width)
    taken = photograph.taken_at
    assert taken is None or (taken.microsecond == 0 and taken.tzinfo is None and taken.year >= 1826)
    return photograph


suffixes = st.sampled_from(["jpg", "png", "webp"])
tags = st.sampled_from([ORIENTATION, DETAILS, TAKEN, DIGITIZED, OFFSET, SUBSECOND, 0x0100, 0x0111, 0x8825, 0x927C])
values = st.tuples(tags, st.integers(0, 14), st.integers(0, 2**32 - 1) | st.integers(0, 9), st.binary(max_size=24))


@settings(deadline=None)
@given(st.binary(max_size=80), suffixes)
def test_any_bytes_for_exif(blob: bytes, suffix: str) -> None:
    """Bytes that are no EXIF cost nothing: the photograph is read as it is stored."""
    for start in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        read(start + blob, suffix)


@settings(deadline=None)
@given(st.lists(values, max_size=6), st.lists(values, max_size=6), suffixes)
def test_any_directory(entries: list[Entry], details: list[Entry], suffix: str) -> None:
    """Values of any type and count, also where they lie beyond the file, leave the photograph readable."""
    read(exif(*entries, details=tuple(details)), suffix)


@settings(deadline=None)
@given(st.sampled_from([3, 4, 8, 9]), st.integers(-3, 12) | st.integers(-(2**15), 2**15 - 1), suffixes)
def test_orientation_of_any_value(kind: int, value: int, suffix: str) -> None:
    """One to eight turn the photograph upright, in whatever integer type they stand; other values do nothing."""
    size = SIZES[kind]
    stored = (value % 2 ** (8 * size)).to_bytes(size, "little")
    photograph = read(exif((ORIENTATION, kind, 1, stored)), suffix)
    turned = STORED.transpose(UPRIGHT[value]) if value in UPRIGHT else STORED
    assert (photograph.width, photograph.height) == turned.size
    tolerance = 12 if suffix == "jpg" else 0
    assert np.abs(photograph.gray.astype(int) - np.asarray(turned, int)).max() <= tolerance


@settings(deadline=None)
@given(st.integers(0, 14), st.binary(max_size=24), suffixes)
def test_orientation_of_any_type(kind: int, value: bytes, suffix: str) -> None:
    """Text, fractions, floating point and lists where a number should be leave the photograph readable."""
    read(exif((ORIENTATION, kind, max(1, len(value) // SIZES.get(kind, 1)), value)), suffix)


@settings(deadline=None)
@given(st.datetimes(datetime(1826, 1, 1)), st.binary(max_size=12), st.binary(max_size=12), suffixes)
def test_every_moment_comes_back(moment: datetime, offset: bytes, fraction: bytes, suffix: str) -> None:
    """Whole seconds of the camera's clock, whatever stands for their fraction and for the time zone."""
    written = f"{moment:%Y:%m:%d %H:%M:%S}\0".encode()
    photograph = read(exif(details=(text(TAKEN, written), text(OFFSET, offset), text(SUBSECOND, fraction))), suffix)
    assert photograph.taken_at == moment.replace(microsecond=0)


@example("0001:01:01 00:00:00", "png")
@example("2024:02:30 00:00:00", "png")
@example("2024:05:06 07:08:60", "png")
@example("    :  :     :  :  ", "jpg")
@settings(deadline=None)
@given(st.text(max_size=30) | st.from_regex(r"\A\d{1,4}[:/-]\d{1,2}[:/-]\d{1,2}[ T]\d{1,2}:\d{1,2}:\d{1,2}"), suffixes)
def test_moment_of_any_text(written: str, suffix: str) -> None:
    """Text that is no moment is none; text that is one is that one, digit for digit."""
    taken = read(exif(details=(text(TAKEN, written.encode()),)), suffix).taken_at
    if taken is not None:
        numbers = [int(n) for n in written.strip("\0 ")[:19].replace(":", " ").split()]
        assert numbers == [*taken.timetuple()][:6]


def test_the_moment_is_the_photographs_and_not_its_scans() -> None:
    """Of a slide that was scanned, EXIF has both moments; where it has the scan's alone, that is the moment."""
    original, scanned = text(TAKEN, b"1963:01:02 03:04:05\0"), text(DIGITIZED, b"2021:07:09 18:30:05\0")
    assert read(exif(details=(original, scanned)), "jpg").taken_at == datetime(1963, 1, 2, 3, 4, 5)
    assert read(exif(details=(scanned,)), "jpg").taken_at == datetime(2021, 7, 9, 18, 30, 5)


@pytest.mark.parametrize("written", [b"0001:01:01 00:00:00\0", b"0000:00:00 00:00:00\0", b"1601:01:01 00:00:00\0"])
def test_a_camera_without_a_clock(written: bytes) -> None:
    """The moments that stand for none are none."""
    assert read(exif(details=(text(TAKEN, written),)), "jpg").taken_at is None


@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("orientation", [0, 1, 3, 6, 8, 9, 65535])
def test_tiff(orientation: int, compression: str | None, frames: int, tmp_path: Path) -> None:
    """A TIFF, whose decoder turns it itself, comes out upright, also compressed or of several pages."""
    more = {"save_all": True, "append_images": [STORED] * (frames - 1)} if frames > 1 else {}
    STORED.save(tmp_path / "a.tif", compression=compression, tiffinfo={ORIENTATION: 1}, **more)
    entry = struct.pack("<HHI", ORIENTATION, 3, 1)
    written = (tmp_path / "a.tif").read_bytes()
    turning = written.replace(entry + struct.pack("<H", 1), entry + struct.pack("<H", orientation))
    (tmp_path / "a.tif").write_bytes(turning)
    photograph = read_photograph(tmp_path / "a.tif", 10_000, 4096)
    turned = STORED.transpose(UPRIGHT[orientation]) if orientation in UPRIGHT else STORED
    assert (photograph.width, photograph.height) == turned.size
    assert np.array_equal(photograph.gray, np.asarray(turned))


@settings(deadline=None)
@given(st.lists(values.filter(lambda value: value[0] != 0x0111), max_size=6))
def test_any_directory_in_a_tiff(details: list[Entry]) -> None:
    """A TIFF whose EXIF is damaged is read all the same."""
    stream = io.BytesIO()
    STORED.save(stream, "TIFF", tiffinfo={DETAILS: 0})
    whole = bytearray(stream.getvalue())
    at = whole.index(struct.pack("<HHI", DETAILS, 4, 1)) + 8
    whole[at : at + 4] = struct.pack("<I", len(whole))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.tif")
        file.write_bytes(bytes(whole) + directory(details, len(whole)))
        assert np.array_equal(read_photograph(file, 10_000, 4096).gray, np.asarray(STORED))
