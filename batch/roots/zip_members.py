"""The members of a zip archive."""

import calendar
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path

from batch.outcome import ImageError, Status
from batch.roots.members import int64, member_path, whole
from batch.roots.root import check_size

_SAYS_UTF_8 = 0x800
_PIECE = 4096
"""bzip2 and LZMA are decompressed a piece at a time, whatever comes of it; of that many bytes at most some 100 MB."""


class ZipMembers:
    """An open zip archive. Several threads may read it."""

    def __init__(self, file: Path) -> None:
        self._zip = zipfile.ZipFile(file)
        entries = ((member_path(_name(info)), info) for info in self._zip.infolist() if _is_file(info))
        self._entries = {path: info for path, info in entries if path}

    @property
    def paths(self) -> Iterable[str]:
        """The paths of the files."""
        return self._entries

    def version(self, path: str) -> tuple[int, int]:
        """Bytes, and the member's time, which is in steps of two seconds; its checksum in place of nanoseconds."""
        info = self._entries[path]
        try:
            seconds = calendar.timegm((*info.date_time, 0, 0, 0))  # zip knows no time zone
        except ValueError:
            seconds = 0
        return int64(info.file_size), int64(seconds * 10**9 + info.CRC % 10**9)

    def start(self, path: str) -> bytes:
        """The first bytes; none if they cannot be read."""
        try:
            with self._zip.open(self._entries[path]) as stream:
                return stream.read(16)
        except Exception:  # encrypted, damaged in any way: not to be known for an image
            return b""

    def read(self, path: str) -> bytes:
        """All bytes; raises FileNotFoundError, ImageError, or what zipfile does on damaged members."""
        info = self._entries.get(path)
        if info is None:
            raise FileNotFoundError(path)
        check_size(info.file_size)
        if info.flag_bits & 0x1:
            raise ImageError(Status.UNREADABLE, "encrypted: unpack the archive with its password")
        with self._zip.open(info) as stream:
            return whole(stream, _PIECE)


def _name(info: zipfile.ZipInfo) -> str:
    """A member's name: UTF-8 if it says so, or is so without saying it, as Debian's zip writes; else code page 437."""
    if info.flag_bits & _SAYS_UTF_8:
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _is_file(info: zipfile.ZipInfo) -> bool:
    """Whether it is neither a folder nor, as Unix writes zips, a link or a device."""
    return not info.is_dir() and stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG)
