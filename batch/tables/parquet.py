"""Parquet files with a checksum for each page, so that a bit that a disk has flipped is no value of a table."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.tables.files import regular_file

WRITTEN: dict[str, Any] = {"write_page_checksum": True}
READ: dict[str, Any] = {"page_checksum_verification": True, "pre_buffer": False}
"""What pyarrow is told; files of before have no checksums, and are read without. Nothing is read ahead: that is done by
threads of Arrow's, and one that still reads a file of Python's when the program is at its end aborts it."""
_USUAL_ROW = 512
"""Bytes; nearly all rows have fewer."""


def opened_table(file: Path | BinaryIO, **options: Any) -> pq.ParquetFile:
    """Open a table to read it; raises OSError or pyarrow.ArrowException.

    Not by its name: pyarrow takes none that is not UTF-8, and waits for a pipe.
    """
    return pq.ParquetFile(regular_file(file) if isinstance(file, Path) else file, **READ, **options)


_NEVER_NULL = ("root", "path", "faces")


def as_written(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Table:
    """A piece of a table with the columns of ``schema``; raises pyarrow.ArrowException if it is none of that.

    The names of the columns stand where no checksum is.
    """
    try:
        table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
    except (KeyError, ValueError) as error:
        raise pa.ArrowInvalid(f"it has other columns: {error}") from error
    for name in _NEVER_NULL:
        if name in schema.names and table[name].null_count:
            raise pa.ArrowInvalid(f"its column {name} has gaps")
    if "faces" in schema.names and len(table) and pc.min(table["faces"]).as_py() < 0:
        raise pa.ArrowInvalid("an image in it has fewer than no faces")
    return table


def pieces(table: pq.ParquetFile, rows: int, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The table in pieces of at most so many rows, of long ones fewer."""
    groups = map(table.metadata.row_group, range(table.metadata.num_row_groups))
    row = sum(group.total_byte_size for group in groups) // max(1, table.metadata.num_rows)
    at_once = max(1, rows * _USUAL_ROW // max(_USUAL_ROW, row))
    batches: Iterator[pa.RecordBatch] = table.iter_batches(at_once, columns=columns, use_threads=False)
    return batches
