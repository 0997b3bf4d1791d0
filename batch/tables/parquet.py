"""Parquet files with a checksum for each page, so that a bit that a disk has flipped is no value of a table."""

from pathlib import Path
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from batch.tables.files import regular_file

WRITTEN: dict[str, Any] = {"write_page_checksum": True}
READ: dict[str, Any] = {"page_checksum_verification": True}
"""What pyarrow is told; files of before have no checksums, and are read without."""


def opened_table(file: Path | BinaryIO, **options: Any) -> pq.ParquetFile:
    """Open a table to read it; raises OSError or pyarrow.ArrowException.

    Not by its name: pyarrow takes none that is not UTF-8, and waits for a pipe.
    """
    return pq.ParquetFile(regular_file(file) if isinstance(file, Path) else file, **READ, **options)
