"""Many tables of images, each with its faces, as one: of every image the newest rows, in one pass and little memory."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.errors import OutputError
from batch.outcome import Key
from batch.tables.parquet import as_written, opened_table, pieces
from batch.tables.rows import SEPARATOR, Columns, Rows, joined
from batch.waiting_for_disks import asking

_AT_ONCE = 2**16
"""Images in memory, about: of all sources together, and in a group of those that are read whole."""
_PIECE = 2**14
"""Images, or faces, that are read of one source at a time, at most."""
SMALL = 2000
"""Tables with no more images than that are read whole, and may have them in any order."""


class Source(NamedTuple):
    """A table of images and that of their faces, in the same order; None where faces are not asked for."""

    images: Path
    faces: Path | None = None
    view: Callable[[Rows], Rows] | None = None
    """What is seen of its rows, sorted as they are; None: all, as they are."""


def merge(sources: Sequence[Source | Rows], columns: Columns, dropped: Iterable[Key] = ()) -> Iterator[Rows]:
    """The rows of all ``sources``, sorted by root and path; of an image in several, those of the last one.

    ``dropped`` images are left out. Larger tables must be sorted already; few rows may be at hand instead of in files.
    Opened before the first rows are given, sources may be deleted afterwards. Raises OutputError if one cannot be
    read, or is not as annotate writes them.
    """
    gone = sorted(SEPARATOR.join(key) for key in dropped)
    past = 0
    streams = [_Stream(batches) for batches in _opened(sources, columns)]
    while heads := [stream for stream in streams if stream.rows is not None]:
        bound = min(stream.last for stream in heads)
        taken = [rows for stream in heads if (rows := stream.take(bound)) is not None]
        begun, past = past, bisect_right(gone, bound, past)
        merged = _newest(taken, gone[begun:past])
        if len(merged.images):
            yield merged


def renamed(sources: Sequence[Source | Rows], columns: Columns, paths: Mapping[Key, str]) -> list[Rows]:
    """The rows, in memory, of the images that have other paths now: to be merged with the ``sources`` as the oldest."""
    if not paths:
        return []
    old = pa.array([SEPARATOR.join(key) for key in paths], pa.string())

    def new(table: pa.Table) -> pa.Array:
        keys = zip(table["root"].to_pylist(), table["path"].to_pylist(), strict=True)
        return pa.array([paths[Key(*key)] for key in keys], pa.string())

    found = (rows.take(np.flatnonzero(pc.is_in(rows.keys, old))) for rows in merge(sources, columns))
    return [rows.with_column("path", new) for rows in found if len(rows.images)]


def distinct(path: Path, column: pa.Field) -> set[str]:
    """The different texts in a column of a table that has few; raises OutputError."""
    file = _read(path, lambda path: opened_table(path, read_dictionary=[column.name]))
    batches = _tables(path, file, pa.schema([column.with_type(pa.dictionary(pa.int32(), pa.string()))]), _PIECE)
    return {text for batch in batches for text in batch[column.name].unique().to_pylist()}


def _newest(parts: list[Rows], gone: Sequence[str] = ()) -> Rows:
    """The rows of ``parts`` in one, sorted; of an image in several, those of the last one; none that is gone."""
    if len(parts) == 1 and not gone and _ascends(parts[0].keys):
        return parts[0]
    every = joined(parts)
    order = pc.sort_indices(every.keys)  # a stable sort: of equal ones the newest is the last
    keys = every.keys.take(order)
    newest = np.append(pc.not_equal(keys[1:], keys[:-1]).to_numpy(zero_copy_only=False), True)
    if gone:
        newest &= ~pc.is_in(keys, pa.array(gone, pa.string())).to_numpy(zero_copy_only=False)
    return every.take(order.to_numpy()[newest])


def _ascends(keys: pa.StringArray) -> bool:
    return len(keys) < 2 or pc.all(pc.less(keys[:-1], keys[1:])).as_py()


class _Stream:
    """Sorted rows that come in pieces, of which one is at hand."""

    def __init__(self, pieces: Iterator[Rows]) -> None:
        self._pieces, self.rows, self.last = pieces, None, ""
        self._next()

    rows: Rows | None

    def take(self, bound: str) -> Rows | None:
        """The rows at hand up to ``bound``, which none at hand elsewhere is behind; None if there are none."""
        if self.rows is None or self.rows.keys[0].as_py() > bound:
            return None
        if self.last <= bound:
            taken = self.rows
            self._next()
            return taken
        keys = self.rows.keys
        stop = bisect_right(range(len(keys)), bound, key=lambda place: keys[place].as_py())
        taken, self.rows = self.rows.slice(0, stop), self.rows.slice(stop, len(keys))
        return taken

    def _next(self) -> None:
        self.rows = next(self._pieces, None)
        if self.rows is not None:
            self.last = self.rows.keys[-1].as_py()


def _opened(sources: Sequence[Source | Rows], columns: Columns) -> list[Iterator[Rows]]:
    """A stream of each source, but one of several small ones in a row, which are read whole."""
    opened: list[tuple[Source, pq.ParquetFile] | list[Rows]] = []
    room = 0
    for source in sources:
        if isinstance(source, Source):
            file = _read(source.images, opened_table)
            if file.metadata.num_rows > SMALL:
                opened.append((source, file))
                room = 0
                continue
        if room <= 0:
            group: list[Rows] = []
            opened.append(group)
            room = _AT_ONCE
        small = [source] if isinstance(source, Rows) else list(_batches(source, file, columns, SMALL))
        group += small
        room -= sum(len(rows.images) for rows in small)
    large = sum(isinstance(one, tuple) for one in opened)
    size = min(_PIECE, _AT_ONCE // max(1, large))
    return [_sorted(*one, columns, size) if isinstance(one, tuple) else _grouped(one) for one in opened]


def _grouped(small: list[Rows]) -> Iterator[Rows]:
    return iter([_newest(small)] if small else [])


def _sorted(source: Source, file: pq.ParquetFile, columns: Columns, size: int) -> Iterator[Rows]:
    last = ""
    for rows in _batches(source, file, columns, size):
        if not _ascends(rows.keys) or rows.keys[0].as_py() <= last:
            raise OutputError(f"{source.images} is not sorted by root and path, as annotate writes it. {_RESTORE}")
        last = rows.keys[-1].as_py()
        yield rows


_RESTORE = "Restore it from a backup. Nothing was deleted."


def _batches(source: Source, file: pq.ParquetFile, columns: Columns, size: int) -> Iterator[Rows]:
    """What is seen of a source, in pieces as ``_all_batches`` gives them."""
    batches = _all_batches(source, file, columns, size)
    seen = map(source.view, batches) if source.view else batches
    return (rows for rows in seen if len(rows.images))


def _all_batches(source: Source, file: pq.ParquetFile, columns: Columns, size: int) -> Iterator[Rows]:
    """The rows of a source in pieces of at most ``size`` images, or faces unless one image has more."""
    faces = _Faces(source.faces, columns.faces) if source.faces else None
    for images in _tables(source.images, file, columns.images, size):
        whole, start = Rows(images), 0
        while start < len(images):
            stop = len(images)
            if faces:
                stop = max(start + 1, bisect_right(whole.starts, whole.starts[start] + _PIECE) - 1)
            part = images.slice(start, stop - start)
            yield Rows(part, faces.take(part)) if faces else Rows(part)
            start = stop
    if faces:
        faces.check_end()


def belong_together(images: pa.Table, faces: pa.Table) -> bool:
    """Whether the faces are those of the images, in their order."""
    owners = np.repeat(np.arange(len(images)), images["faces"].to_numpy())
    return len(faces) == len(owners) and all(faces[x].equals(images[x].take(owners)) for x in ("path", "root"))


class _Faces:
    """A table of faces, read along with that of their images."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._tables = _tables(path, _read(path, opened_table), schema, _PIECE)
        self._rest = schema.empty_table()

    def take(self, images: pa.Table) -> pa.Table:
        """The next faces, which must be those of ``images``; raises OutputError."""
        counts = images["faces"].to_numpy()
        wanted, parts = int(counts.sum(dtype=np.int64)), [self._rest]
        while sum(map(len, parts)) < wanted and (more := next(self._tables, None)) is not None:
            parts.append(more)
        rest = pa.concat_tables(parts)
        taken, self._rest = rest.slice(0, wanted).combine_chunks(), rest.slice(wanted)
        if not belong_together(images, taken):
            self._mismatch()
        return taken

    def check_end(self) -> None:
        """Raise OutputError if there are more faces."""
        if len(self._rest) or next(self._tables, None) is not None:
            self._mismatch()

    def _mismatch(self) -> None:
        raise OutputError(f"{self._path} has other faces than the table of images beside it says. {_RESTORE}")


def _tables(path: Path, file: pq.ParquetFile, schema: pa.Schema, size: int) -> Iterator[pa.Table]:
    tables = map(partial(as_written, schema=schema), filter(len, pieces(file, size, schema.names)))
    while (table := _read(path, lambda _: next(tables, None))) is not None:
        yield table


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    """What ``read`` reads; raises OutputError if that cannot be done now, although it could before."""
    try:
        with asking(path):
            return read(path)
    except (OSError, pa.ArrowException) as error:
        told = " ".join(str(error).split())
        fix = "Nothing was deleted; the next run sees to it." if getattr(error, "errno", None) else _RESTORE
        raise OutputError(f"{path} cannot be read: {told}. {fix}") from error
