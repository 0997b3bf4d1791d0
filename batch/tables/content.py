"""What a table of a checkpoint holds, read to its end, since a footer alone does not tell whether it is damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from batch.tables.files import reading, regular_file
from batch.tables.merge import SMALL
from batch.tables.parquet import as_written, opened_table, pieces
from batch.waiting_for_disks import asking


class Content(NamedTuple):
    """What a table holds, and which model and detector have made it."""

    made_by: str
    rows: int
    faces: int
    pieces: list[pa.Table]
    """Of a small table all of them, else none."""


def content_of(file: Path, made_by: str, schema: pa.Schema) -> Content | None:
    """Read a table to its end; None if it is missing, or damaged: if ``made_by`` has made it, of another ``schema``.

    Raises OutputError if it cannot be read.
    """
    rows = faces = 0
    small: list[pa.Table] = []
    try:
        with reading(file), _damage_apart(), regular_file(file) as opened, asking(file):
            table = opened_table(opened)
            maker = (table.schema_arrow.metadata or {}).get(b"identity", b"").decode(errors="replace")
            for batch in pieces(table, 2**14):
                rows += len(batch)
                if maker != made_by:
                    continue
                piece = as_written(batch, schema)
                if table.metadata.num_rows <= SMALL:
                    small.append(piece)
                faces += (pc.sum(piece["faces"]).as_py() or 0) if "faces" in schema.names else 0
    except (FileNotFoundError, _Damage):
        return None
    return Content(maker, rows, faces, small)


class _Damage(Exception):
    pass


@contextmanager
def _damage_apart() -> Iterator[None]:
    """Raise _Damage for what the reader of a file says that is not the disk's."""
    try:
        yield
    except pa.ArrowException as error:
        raise _Damage from error
    except OSError as error:  # also Arrow's for a damaged file, but then without a number
        if error.errno is not None:
            raise
        raise _Damage from error
