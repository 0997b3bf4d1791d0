"""The members of a tar archive, compressed with gzip or not."""

import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, Self

from batch.faults import TransientError
from batch.images.formats import has_image_suffix
from batch.roots.gzip_file import GzipFile
from batch.roots.members import REPLACED, int64, member_path, plain, whole
from batch.roots.root import Version, check_size
from batch.waiting_for_disks import ask, asking

_PIECE = 2**20
_MAGIC = slice(257, 262)
"""Where the header of a member says that it is one (POSIX.1-1988, ustar)."""
_NAME, _GNU = slice(0, 100), (slice(257, 265), b"ustar  \0")
"""Where its name stands, and what tells GNU's older format, which has times where others have the name's start."""


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def seek(self, position: int, /) -> object: ...
    def tell(self) -> int: ...


class _Pieces:
    """A file of which only so much is read at once: an archive's headers declare sizes, and may lie."""

    def __init__(self, stream: _Stream) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _PIECE:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._stream.read(size)


class _Member(tarfile.TarInfo):
    """A member whose name is the one that GNU tar gives it, also in a dump (``--listed-incremental``)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header, as tarfile does, which takes the times of GNU's for the start of its name."""
        member = super().frombuf(buf, encoding, errors)
        place, gnu = _GNU
        if buf[place] == gnu:
            name = bytes(buf[_NAME]).partition(b"\0")[0].decode(encoding, errors)
            member.name = name.rstrip("/") if member.isdir() else name
        return member


class TarMembers:
    """An open tar archive, which has been gone through once. Several threads may read it."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._stream = _Pieces(file.open("rb") if file.suffix.lower() == ".tar" else GzipFile(file))
        self._tar = tarfile.TarFile(fileobj=self._stream, encoding="utf-8", tarinfo=_Member)  # type: ignore[arg-type]
        self._files: dict[str, tarfile.TarInfo] = {}
        self._entries: dict[str, tarfile.TarInfo] = {}
        self._starts: dict[str, bytes] = {}
        reached = -1
        with asking(file):
            for member in self._tar:
                ask(str(file))  # it answers, however long that takes
                if self._tar.offset <= reached:  # on a negative size, for ever: CVE-2025-8194
                    raise tarfile.ReadError(f"a member of {member.size} bytes")
                reached = self._tar.offset
                self._add(member)
        self._check_end()

    def _add(self, member: tarfile.TarInfo) -> None:
        """Take in a file, or another name of one, be that hidden; no symbolic link, folder or device."""
        path = member_path(member.name)
        target = self._files.get(plain(member.linkname)) if member.islnk() else member
        if target is None or not target.isreg():
            return
        self._files[plain(member.name)] = target
        if path is None:
            return
        self._entries[path] = target
        if not has_image_suffix(path):
            self._stream.seek(target.offset_data)
            self._starts[path] = self._stream.read(min(16, max(0, target.size)))

    def _check_end(self) -> None:
        """Raise ReadError if tarfile has stopped at a damaged header, which it takes for the end, or before more."""
        self._stream.seek(self._tar.offset)
        if self._stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no end of archive at byte {self._tar.offset}")
        behind = self._stream.read(_PIECE)  # what is no archive does no harm
        start = len(behind) - len(behind.lstrip(b"\0"))
        start -= start % tarfile.BLOCKSIZE
        if behind[start:][_MAGIC] == b"ustar":
            at = self._tar.offset + tarfile.BLOCKSIZE + start
            raise tarfile.ReadError(f"another archive is joined to it at byte {at}. Unpack them (tar -xi)")
        while behind:  # to where gzip has its checksum
            behind = self._stream.read(_PIECE)

    def spelled(self, _encoding: str) -> "TarMembers":
        """The same: names are UTF-8, or bytes that are not."""
        return self

    @property
    def paths(self) -> Iterable[str]:
        """The paths of the files."""
        return self._entries

    @property
    def guessed(self) -> Iterable[str]:
        """None."""
        return ()

    def version(self, path: str) -> Version:
        """Bytes, and the member's time."""
        member = self._entries[path]
        return int64(member.size), int64(member.mtime * 10**9)

    def start(self, path: str) -> bytes:
        """The first bytes of a member whose suffix is no image's, read in passing."""
        return self._starts.get(path, b"")

    def read(self, path: str, version: Version | None = None) -> bytes:
        """All bytes; raises FileNotFoundError, ImageError, or what tarfile does on damaged archives.

        And TransientError if there is none of that ``version``: another archive lies there by now.
        """
        member = self._entries.get(path)
        if version and (member is None or self.version(path) != version):
            raise TransientError(REPLACED)
        if member is None:
            raise FileNotFoundError(path)
        check_size(member.size)
        with self._lock:
            stream = self._tar.extractfile(member)
            return whole(stream, _PIECE) if stream else b""
