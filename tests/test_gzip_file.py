"""Reading a gzip file from anywhere."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest

from batch.roots.gzip_file import GzipFile

RNG = np.random.default_rng(0)


class CountedReads:
    """A file that counts the bytes read."""

    def __init__(self, file: Path) -> None:
        self._file, self.bytes = file.open("rb"), 0
        self.seek, self.tell = self._file.seek, self._file.tell

    def read(self, size: int) -> bytes:
        """As the file does."""
        content = self._file.read(size)
        self.bytes += len(content)
        return content


@pytest.fixture(scope="module")
def content() -> bytes:
    """Thirty million bytes, half of which can be compressed."""
    return RNG.bytes(10_000_000) + b"photographs" * 1_000_000 + RNG.bytes(9_000_000)


def spots(content: bytes) -> list[tuple[int, int]]:
    return [(int(RNG.integers(len(content) + 10)), int(RNG.integers(200_000))) for _ in range(100)]


@pytest.mark.parametrize("joined", [False, True], ids=["one", "joined"])
def test_the_same_bytes_from_anywhere(joined: bool, content: bytes, tmp_path: Path) -> None:
    """Forwards and backwards, over the end, in one file and in several that were joined and padded."""
    parts = [content[:7_000_000], b"", content[7_000_000:]] if joined else [content]
    (tmp_path / "a.gz").write_bytes(b"".join(gzip.compress(part, 1) for part in parts) + bytes(100 * joined))
    reader = GzipFile(tmp_path / "a.gz")
    for position, size in spots(content):
        reader.seek(position)
        assert reader.read(size) == content[position : position + size]
        assert reader.tell() == min(position + size, max(position, len(content)))


def test_going_back_costs_no_more_than_the_way_from_a_mark(content: bytes, tmp_path: Path) -> None:
    """After one pass, reading at any place takes in at most the eight megabytes before it."""
    (tmp_path / "a.gz").write_bytes(gzip.compress(content, 1))
    reader = GzipFile(tmp_path / "a.gz")
    reader.seek(len(content))
    reader.read(1)
    reader._file = counted = CountedReads(tmp_path / "a.gz")
    for position in (len(content) - 1, 0, 9_900_000, len(content) // 2, 20_900_000):
        before = counted.bytes
        reader.seek(position)
        assert reader.read(1) == content[position : position + 1]
        assert counted.bytes - before < 9_000_000


def test_marks_stay_few(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the file, only so many marks are kept, ever further apart."""
    monkeypatch.setattr("batch.roots.gzip_file._MOST_MARKS", 8)
    (tmp_path / "a.gz").write_bytes(gzip.compress(content, 1))
    reader = GzipFile(tmp_path / "a.gz")
    reader._apart = 2**17
    for position, size in [(len(content), 1), *spots(content)]:
        reader.seek(position)
        assert reader.read(size) == content[position : position + size]
    assert 4 <= len(reader._marks) <= 8


def test_damage_is_an_error(content: bytes, tmp_path: Path) -> None:
    """Neither a file that is cut off nor a wrong byte is taken for the end."""
    packed = gzip.compress(content, 1)
    (tmp_path / "cut.gz").write_bytes(packed[:-100])
    with pytest.raises(EOFError):
        GzipFile(tmp_path / "cut.gz").read(len(content) + 1)
    (tmp_path / "wrong.gz").write_bytes(packed[:-6] + bytes([packed[-6] ^ 1]) + packed[-5:])
    with pytest.raises(zlib.error, match="data check"):
        GzipFile(tmp_path / "wrong.gz").read(len(content) + 1)
