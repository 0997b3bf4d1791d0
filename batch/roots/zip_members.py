"""The members of a zip archive."""

import calendar
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from batch.errors import RootError
from batch.faults import TransientError, may_heal
from batch.outcome import ImageError, Status
from batch.roots.members import REPLACED, int64, member_path, whole
from batch.roots.root import Version, check_size
from batch.roots.walk import CODE_PAGE

PART = re.compile(r"\.(z\d\d+|zip\.\d{3,})$", re.IGNORECASE)
"""How the parts of a zip that is cut into several are called, but for the last one of ``.z01``, ``.z02``, ``.zip``."""

_SAYS_UTF_8 = 0x800
_UNICODE_PATH = 0x7075
"""The extra field that has a name as UTF-8 beside the one in another encoding (APPNOTE.TXT, 4.6.9)."""
_PIECE = 4096
"""bzip2 and LZMA are decompressed a piece at a time, whatever comes of it; of that many bytes at most some 100 MB."""
_READ = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_NOT_READ = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
_END, _LONGEST_END = b"PK\5\6", 22 + 2**16
_IN_ZIP64 = 0xFFFF


class ZipMembers:
    """An open zip archive. Several threads may read it."""

    def __init__(self, packed: zipfile.ZipFile, encoding: str = CODE_PAGE) -> None:
        """Know its members by their names; of those that do not say it, ``encoding`` is the encoding."""
        self._zip = packed
        entries = ((member_path(_name(info, encoding)), info) for info in packed.infolist() if _is_file(info))
        self._entries = {path: info for path, info in entries if path}

    def spelled(self, encoding: str) -> "ZipMembers":
        """The same with names in that encoding."""
        return self if encoding == CODE_PAGE else ZipMembers(self._zip, encoding)

    @property
    def paths(self) -> Iterable[str]:
        """The paths of the files."""
        return self._entries

    @property
    def guessed(self) -> Iterable[str]:
        """Those whose names do not say how they are spelled."""
        return (path for path, info in self._entries.items() if _is_a_guess(info))

    def version(self, path: str) -> Version:
        """Bytes, and the member's time, which is in steps of two seconds; its checksum in place of nanoseconds."""
        return _version(self._entries[path])

    def start(self, path: str) -> bytes:
        """The first bytes; none if they are damaged. Raises OSError if they cannot be read now."""
        try:
            with self._zip.open(self._entries[path]) as stream:
                return stream.read(16)
        except Exception as error:  # encrypted, damaged in any way: not to be known for an image
            if may_heal(error):
                raise
            return b""

    def read(self, path: str, version: Version | None = None) -> bytes:
        """All bytes; raises FileNotFoundError, ImageError, or what zipfile does on damaged members.

        Under another spelling a member is known by its ``version``: that has its checksum. If there is none of that
        version, another archive lies there by now, and that is a TransientError.
        """
        info = self._entries.get(path)
        if version and (info is None or _version(info) != version):
            info = self._guessed_by_version.get(version)
            if info is None:
                raise TransientError(REPLACED)
        if info is None:
            raise FileNotFoundError(path)
        check_size(info.file_size)
        if info.flag_bits & 0x1:
            raise ImageError(Status.UNREADABLE, "encrypted: unpack the archive with its password")
        if info.compress_type not in _READ:
            kind = _NOT_READ.get(info.compress_type, f"number {info.compress_type}")
            raise ImageError(
                Status.UNREADABLE, f"its compression, {kind}, is not read: unpack the archive, or pack it with Deflate"
            )
        with self._zip.open(info) as stream:
            return whole(stream, _PIECE)

    @cached_property
    def _guessed_by_version(self) -> dict[Version, zipfile.ZipInfo]:
        return {self.version(path): self._entries[path] for path in self.guessed}


def open_zip(file: Path) -> ZipMembers:
    """Open a zip; raises RootError for a part of one, and whatever zipfile does on damaged ones."""
    if PART.search(file.name) or _ends_as_a_part(file):
        numbered = file.suffix[1:].isdecimal()
        join = f"cat {file.stem}.* > whole.zip" if numbered else f"zip -s 0 {file.stem}.zip --out whole.zip"
        raise RootError(
            f"{file} is one part of a zip that is cut into several; a whole one is wanted. Join them in their folder, "
            f"by {join}, and name whole.zip."
        )
    return ZipMembers(zipfile.ZipFile(file))


def _ends_as_a_part(file: Path) -> bool:
    """Whether the record at the end of a zip says that it is not the first file."""
    with file.open("rb") as opened:
        opened.seek(max(0, opened.seek(0, 2) - _LONGEST_END))
        _, found, end = opened.read(_LONGEST_END).rpartition(_END)
    numbers = struct.unpack("<HH", end[:4]) if found and len(end) >= 4 else ()
    return any(number not in (0, _IN_ZIP64) for number in numbers)


def _version(info: zipfile.ZipInfo) -> Version:
    try:
        seconds = calendar.timegm((*info.date_time, 0, 0, 0))  # zip knows no time zone
    except ValueError:
        seconds = 0
    return int64(info.file_size), int64(seconds * 10**9 + info.CRC % 10**9)


def _is_a_guess(info: zipfile.ZipInfo) -> bool:
    return not info.flag_bits & _SAYS_UTF_8 and not info.orig_filename.isascii()


def _name(info: zipfile.ZipInfo, encoding: str) -> str:
    """A member's name: UTF-8 if it says so, or is so without saying it, as Debian's zip writes; else in ``encoding``.

    Bytes that mean nothing in it become surrogates, as in names of files.
    """
    if not _is_a_guess(info):
        return info.filename
    raw = info.orig_filename.encode(CODE_PAGE)  # which has a letter for each byte
    name = _unicode_path(info, raw)
    if name is None:
        try:
            name = raw.decode("utf-8")
        except UnicodeError:
            name = raw.decode(encoding, "surrogateescape")
    return name.partition("\0")[0]


def _unicode_path(info: zipfile.ZipInfo, raw: bytes) -> str | None:
    """The name as UTF-8 that stands beside the one in another encoding, if it is of that one."""
    extra = info.extra
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field, extra = extra[4 : 4 + length], extra[4 + length :]
        if kind == _UNICODE_PATH and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            with suppress(UnicodeError):
                return field[5:].decode("utf-8") or None
    return None


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Whether it is neither a folder nor, as Unix writes zips, a link or a device."""
    return not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
