"""What a table of a checkpoint holds, read to its end, since a footer alone does not tell whether it is damaged."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from batch.tables.files import reading, regular_file
from batch.tables.merge import SMALL
from batch.tables.parquet import opened_table, pieces


class Content(NamedTuple):
    """What a table holds, and which model and detector have made it."""

    made_by: str | None
    rows: int
    faces: int
    batches: list[pa.RecordBatch]
    """Of a small table all of them, else none."""


def content_of(file: Path) -> Content | None:
    """Read a table to its end; None if it is missing or damaged. Raises OutputError if it cannot be read."""
    rows = faces = 0
    batches: list[pa.RecordBatch] = []
    try:
        with reading(file), _damage_apart(), regular_file(file) as opened:
            table = opened_table(opened)
            made_by = (table.schema_arrow.metadata or {}).get(b"identity")
            for batch in pieces(table, 2**14):
                rows += len(batch)
                if table.metadata.num_rows <= SMALL:
                    batches.append(batch)
                faces += (pc.sum(batch["faces"]).as_py() or 0) if "faces" in batch.schema.names else 0
    except (FileNotFoundError, _Damage):
        return None
    return Content(made_by.decode(errors="replace") if made_by else None, rows, faces, batches)


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
