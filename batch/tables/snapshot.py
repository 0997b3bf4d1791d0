"""The published tables, read back: the output is the state."""

import heapq
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby, repeat
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import OutputError
from batch.outcome import FAILED, VANISHED, Status
from batch.tables.files import regular_file
from batch.tables.journal import DamagedJournal, current
from batch.tables.merge import Source, distinct, merge
from batch.tables.moves import Move, as_moved
from batch.tables.parquet import READ
from batch.tables.rows import Columns
from batch.tables.schema import IMAGES, SCHEMA_VERSION
from batch.tables.values import few_values, texts, whole_numbers

if TYPE_CHECKING:
    import pandas as pd

IMAGES_FILE, FACES_FILE = "images.parquet", "faces.parquet"
_WAY_OUT = "Restore it from a backup, or move faces.parquet and images.parquet away to annotate everything anew."
_TRIES = 5
"""To read both tables of one generation, a tenth of a second apart."""


class Annotations(NamedTuple):
    """The tables of an output."""

    faces: "pd.DataFrame"
    images: "pd.DataFrame"


Table = TypeVar("Table")


class KnownImage(NamedTuple):
    """An image that the tables have, and what tells whether it has changed, and whether it failed."""

    root: str
    path: str
    size_bytes: int
    modified_ns: int
    failed: bool
    stale: bool = False
    """Whether another model or detector has made its rows, and this one none yet."""
    refused: str | None = None
    """The error of an image that was denied or had vanished, which somebody may have mended since."""


@dataclass(frozen=True)
class Snapshot:
    """The pair of tables that the last run to finish has published."""

    output: Path
    identity: dict[str, Any] | None
    """What made it; None if nothing has been published yet."""
    generation: int

    @property
    def images(self) -> Path:
        """The table of images."""
        return self.output / IMAGES_FILE

    @property
    def faces(self) -> Path:
        """The table of faces."""
        return self.output / FACES_FILE


def read_snapshot(output: Path) -> Snapshot:
    """Find out what ``output`` holds, of which nobody else may write (``batch.tables.lock``).

    Raises OutputError if its tables are damaged, foreign, from a newer version, or of different generations.
    """
    if not any(os.path.lexists(output / name) for name in (IMAGES_FILE, FACES_FILE)):
        return Snapshot(output, None, 0)
    with _opened(output) as tables:
        return _snapshot(output, *tables)


def read_annotations(output: Path) -> Annotations:
    """The published tables, both of one generation, also while a run replaces them.

    Each file is opened once: given its path, pyarrow and pandas 3.1 open it twice, and fail if it was replaced between
    (https://github.com/apache/arrow/issues/41310). Raises OutputError if there are none, and as ``read_snapshot`` does.
    """
    import pandas as pd  # takes longer than all else that a run with nothing new imports

    return Annotations(*_read_both(output, partial(pd.read_parquet, **READ)))


def read_tables(output: Path) -> tuple[pa.Table, pa.Table]:
    """The same tables, faces first, with every type as it was written. Raises OutputError."""
    return _read_both(output, partial(pq.read_table, **READ))


def _read_both(output: Path, read: Callable[[BinaryIO], Table]) -> tuple[Table, Table]:
    left = _TRIES
    while True:
        try:
            with _opened(output) as (faces, images):
                _snapshot(output, faces, images)
                return read(faces), read(images)
        except OutputError:  # a run has replaced the one and not yet the other, or it is so
            left -= 1
            if not left:
                raise
        time.sleep(0.1)


@contextmanager
def _opened(output: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Both tables, faces first, as ``publish`` replaces them; what a run that was cut off has promised is taken."""
    try:
        with (
            regular_file(_current(output, FACES_FILE)) as faces,
            regular_file(_current(output, IMAGES_FILE)) as images,
        ):
            yield faces, images
    except FileNotFoundError as error:
        if not any(os.path.lexists(output / name) for name in (IMAGES_FILE, FACES_FILE)):
            raise OutputError(f"No tables in {output}. Run annotate first, or name its output folder.") from error
        raise OutputError(f"{error.filename} is missing, but the table beside it is there. {_WAY_OUT}") from error
    except NotADirectoryError as error:
        raise OutputError(f"{output} is a file. Name the output folder of annotate: {output.parent}.") from error
    except PermissionError as error:
        raise OutputError(f"{error.filename} may not be read. Give this user the permission (chmod, chown).") from error
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"The tables in {output} cannot be read: {error}. {_WAY_OUT}") from error


def _current(output: Path, name: str) -> Path:
    try:
        return current(output, name)
    except DamagedJournal:  # a run sees to it
        return output / name


def make_a_pair(faces: Path, images: Path) -> bool:
    """Whether two files are whole tables of one generation."""
    try:
        with regular_file(faces) as face_file, regular_file(images) as image_file:
            _snapshot(images.parent, face_file, image_file)
    except (OSError, OutputError):
        return False
    return True


def _snapshot(output: Path, faces: BinaryIO, images: BinaryIO) -> Snapshot:
    (identity, generation), (also, other) = _facts(images), _facts(faces)
    if generation != other:
        raise OutputError(
            f"{images.name} is generation {generation}, {faces.name} is {other}: one was replaced by hand. "
            "Restore both from the same backup, or move both away to annotate everything anew."
        )
    if identity != also:
        raise OutputError(f"{images.name} and {faces.name} disagree on what made them: one is damaged. {_WAY_OUT}")
    if identity.get("schema") not in range(1, SCHEMA_VERSION + 1):
        raise OutputError(
            f"{images.name} has schema version {identity.get('schema')}, expected at most {SCHEMA_VERSION}. "
            "Use the version of emotion-annotate that wrote it, or another output."
        )
    return Snapshot(output, identity, generation)


def _facts(file: BinaryIO) -> tuple[dict[str, Any], int]:
    try:
        facts = pq.read_metadata(file).metadata or {}
        identity = json.loads(facts[b"identity"])
        return (identity if isinstance(identity, dict) else {}), int(facts[b"generation"])
    except (OSError, pa.ArrowException, ValueError) as error:
        raise OutputError(f"{file.name} is damaged: {error}. {_WAY_OUT}") from error
    except KeyError as error:
        raise OutputError(f"{file.name} was not written by annotate. Use another output folder.") from error


def known_images(files: Iterable[Path], stale: bool = False, moves: Sequence[Move] = ()) -> Iterator[KnownImage]:
    """The images whose outcome stands in ``files`` (tables of images, later ones win), sorted by root and path."""
    columns = ["root", "path", "size_bytes", "modified_ns", "status", "error"]
    schema, failed = pa.schema([IMAGES.field(name) for name in columns]), frozenset(FAILED).__contains__
    for rows in merge(as_moved([*map(Source, files)], moves), Columns(schema)):
        images = rows.images
        statuses, errors = few_values(images["status"]), few_values(images["error"])
        yield from map(
            KnownImage,
            few_values(images["root"]),
            texts(images["path"]),
            whole_numbers(images["size_bytes"]),
            whole_numbers(images["modified_ns"]),
            map(failed, statuses),
            repeat(stale),
            map(_refused, statuses, errors) if any(errors) else repeat(None),
        )


def _refused(status: str, error: str | None) -> str | None:
    return error if status == Status.DENIED or error == VANISHED else None


def with_stale_images(ours: Iterator[KnownImage], stale: Iterator[KnownImage]) -> Iterator[KnownImage]:
    """Both in one, sorted; of an image in both, ours."""
    key = itemgetter(0, 1)
    for _, same in groupby(heapq.merge(ours, stale, key=key), key):
        yield next(same)


def published_roots(snapshot: Snapshot) -> frozenset[str]:
    """The roots whose images stand in the published tables; raises OutputError."""
    return frozenset(distinct(snapshot.images, IMAGES.field("root")) if snapshot.identity else ())
