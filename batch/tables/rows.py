"""Images with their faces, a part of both tables that fits into memory, and how parts are written."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.tables.parquet import WRITTEN
from batch.waiting_for_disks import asking

SEPARATOR = "\0"
"""Stands in no file name and comes before all that does, so that joined names sort as pairs of names do."""
_SEPARATOR = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\0"))[0]
"""The same for Arrow, which imports pandas to make something of a str: a quarter of a second and 40 MB."""
_ROW_GROUP, _ROW_GROUP_BYTES = 2**17, 2**25
"""Rows of both tables that are written together, and held in memory until then; of long ones fewer."""
_REPEATED = ["root", "status", "error", "emotion"]
"""Columns whose values are worth a dictionary."""


class Columns(NamedTuple):
    """What is read of the two tables: root and path in any case, ``faces`` of the images if any of the faces."""

    images: pa.Schema
    faces: pa.Schema = pa.schema([])


@dataclass(frozen=True)
class Rows:
    """Images, and their faces in the order of the images: the column ``faces`` says how many each has."""

    images: pa.Table
    faces: pa.Table = field(default_factory=lambda: pa.table({}))
    """Without columns where faces are not asked for."""

    @cached_property
    def keys(self) -> pa.StringArray:
        """Root and path of the images in one text, which sorts as they do."""
        joined = pc.binary_join_element_wise(self.images["root"], self.images["path"], _SEPARATOR)
        return pa.concat_arrays(joined.chunks or [pa.array([], pa.string())])

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each image's faces start, and where the last one's end: (images + 1)."""
        return np.concatenate([[0], np.cumsum(self.images["faces"].to_numpy(), dtype=np.int64)])

    def slice(self, start: int, stop: int) -> "Rows":
        """The images from ``start`` to ``stop``, and their faces."""
        faces = self.faces
        if faces.num_columns:
            faces = faces.slice(self.starts[start], self.starts[stop] - self.starts[start])
        return Rows(self.images.slice(start, stop - start), faces)

    def take(self, chosen: np.ndarray) -> "Rows":
        """The images with these indices, in this order, and their faces."""
        faces = self.faces
        if faces.num_columns:
            counts = np.diff(self.starts)[chosen]
            before = np.cumsum(counts) - counts
            faces = faces.take(np.repeat(self.starts[:-1][chosen] - before, counts) + np.arange(counts.sum()))
        return Rows(self.images.take(chosen), faces)

    def with_column(self, column: str, texts: Callable[[pa.Table], pa.Array]) -> "Rows":
        """The same with other texts in a column of both tables."""
        return Rows(*(_with_column(table, column, texts) for table in (self.images, self.faces)))


def _with_column(table: pa.Table, column: str, texts: Callable[[pa.Table], pa.Array]) -> pa.Table:
    if not table.num_columns:
        return table
    place = table.schema.get_field_index(column)
    return table.set_column(place, table.schema.field(place), texts(table))


def joined(parts: list[Rows]) -> Rows:
    """All parts as one, in their order."""
    images = pa.concat_tables([part.images for part in parts]).combine_chunks()
    return Rows(images, pa.concat_tables([part.faces for part in parts]).combine_chunks())


class Count(NamedTuple):
    """Rows of both tables."""

    images: int
    faces: int


def write_rows(
    parts: Iterable[Rows],
    columns: Columns,
    facts: dict[str, str],
    images: BinaryIO,
    faces: BinaryIO,
    compression: str,
    row_group: int = _ROW_GROUP,
) -> Count:
    """Write sorted parts as the two Parquet files with ``facts`` as their metadata; how many rows they have."""
    count = Count(0, 0)
    settings: dict[str, Any] = {"compression": compression, "use_dictionary": _REPEATED, **WRITTEN}
    with (
        pq.ParquetWriter(images, columns.images.with_metadata(facts), **settings) as image_writer,
        pq.ParquetWriter(faces, columns.faces.with_metadata(facts), **settings) as face_writer,
    ):
        for rows in _grouped(parts):
            with asking(images.name):
                image_writer.write_table(rows.images, row_group)
                face_writer.write_table(rows.faces, row_group)
            count = Count(count.images + len(rows.images), count.faces + len(rows.faces))
    return count


def _grouped(parts: Iterable[Rows]) -> Iterator[Rows]:
    """Join parts to row groups."""
    waiting: list[Rows] = []
    rows = size = 0
    for part in parts:
        waiting.append(part)
        rows += len(part.images) + len(part.faces)
        size += part.images.nbytes + part.faces.nbytes
        if rows >= _ROW_GROUP or size >= _ROW_GROUP_BYTES:
            yield joined(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield joined(waiting)
