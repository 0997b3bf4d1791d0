"""A gzip file that is read from anywhere after one pass over it."""

import zlib
from bisect import bisect_right
from pathlib import Path
from typing import Any, NamedTuple

_INPUT, _OUTPUT = 2**16, 2**16
"""Bytes that are read, and decompressed, at a time at most."""
_MOST_MARKS = 1024
_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's window bits for a gzip header and the largest window


class _Mark(NamedTuple):
    """A place from which decompression can go on: a copy of the decompressor takes 40 kB."""

    position: int
    read: int
    decompressor: Any


class GzipFile:
    """The decompressed bytes of a gzip file.

    The standard library's starts from the beginning whenever it goes back, which makes reading the members of an
    archive one by one quadratic. This one goes back to one of at most a thousand marks, eight MB apart or, in large
    files, twice, four times as far.
    """

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._apart = 2**23
        self._marks = [_Mark(0, 0, zlib.decompressobj(_GZIP))]
        self._position, self._start, self._chunk, self._input = 0, 0, b"", b""
        self._go_on_from(self._marks[0])

    def tell(self) -> int:
        """The position in the decompressed bytes."""
        return self._position

    def seek(self, position: int) -> int:
        """Go to a position from the beginning."""
        self._position = position
        return position

    def read(self, size: int) -> bytes:
        """As many bytes, fewer at the end; raises EOFError if the file is cut off and zlib.error if it is damaged."""
        pieces = []
        while size > 0 and self._reach():
            start = self._position - self._start
            pieces.append(self._chunk[start : start + size])
            self._position += len(pieces[-1])
            size -= len(pieces[-1])
        return b"".join(pieces)

    def _reach(self) -> bool:
        """Have the chunk hold the byte at the position; False if the file ends before it."""
        mark = self._marks[bisect_right(self._marks, self._position, key=lambda mark: mark.position) - 1]
        if self._position < self._start or mark.position > self._start + len(self._chunk):
            self._go_on_from(mark)
        while self._position >= self._start + len(self._chunk):
            self._start += len(self._chunk)
            self._mark()
            self._chunk = self._decompressed()
            if not self._chunk:
                return False
        return True

    def _go_on_from(self, mark: _Mark) -> None:
        self._start, self._chunk, self._input = mark.position, b"", b""
        self._decompressor = mark.decompressor.copy()
        self._file.seek(mark.read)

    def _mark(self) -> None:
        if self._start < self._marks[-1].position + self._apart:
            return
        read = self._file.tell() - len(self._input)
        self._marks.append(_Mark(self._start, read, self._decompressor.copy()))
        if len(self._marks) > _MOST_MARKS:
            self._marks, self._apart = self._marks[::2], 2 * self._apart

    def _decompressed(self) -> bytes:
        """The next bytes; none at the end."""
        chunk = b""
        while not chunk:
            self._input = self._input or self._file.read(_INPUT)
            if self._decompressor.eof:
                if len(self._input) < len(_MAGIC):
                    self._input += self._file.read(_INPUT)
                if not self._input.startswith(_MAGIC):  # some pad the end
                    return b""
                self._decompressor = zlib.decompressobj(_GZIP)  # files that were joined
            elif not self._input:
                raise EOFError("the file ends before the archive does")
            chunk = self._decompressor.decompress(self._input, _OUTPUT)
            eof = self._decompressor.eof
            self._input = self._decompressor.unused_data if eof else self._decompressor.unconsumed_tail
        return bytes(chunk)
