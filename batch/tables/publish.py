"""Merge snapshot and checkpoints into new tables and put them in the place of the old ones."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.errors import OutputError
from batch.outcome import Key
from batch.tables.csv_tables import write_csv
from batch.tables.files import flush, new_file, write_durably, writing
from batch.tables.schema import IMAGES, faces_schema, metadata, with_whole_dictionaries
from batch.tables.snapshot import FACES_FILE, IMAGES_FILE

_JOURNAL = ".publishing.json"
_SEPARATOR = "\0"  # stands in no file name


def merge(
    old: Path | None, new: list[Path], dropped: Iterable[Key], schema: pa.Schema, order: list[str], replaced: list[Path]
) -> pa.Table:
    """Merge an old table with newer ones (later ones win) by (root, path), without the dropped images.

    ``replaced`` are the tables of images that belong to ``new``: every row of an image that stands in a later one of
    them goes, also where the later one has no row for it (an image that has lost its faces). Sorted by ``order``.
    """
    pieces: list[Path] = [old, *new] if old else list(new)
    belongs: list[Path | None] = [None, *replaced] if old else list(replaced)
    later = pa.array([_joined(*key) for key in dropped], pa.string())
    kept: list[pa.Table] = []
    for piece, images in zip(reversed(pieces), reversed(belongs), strict=True):
        table = _read(piece).select(schema.names).cast(schema)
        kept.append(table.filter(pc.invert(pc.is_in(_keys(table), later))))
        if images:
            later = pa.concat_arrays([later, _keys(_read(images, ["root", "path"])).combine_chunks()])
    return pa.concat_tables(kept or [schema.empty_table()]).sort_by([(name, "ascending") for name in order])


def _read(file: Path, columns: list[str] | None = None) -> pa.Table:
    """A table; raises OutputError if it cannot be read now, although it could before."""
    try:
        return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(f"{file} cannot be read: {error}. Nothing was deleted; the next run sees to it.") from error


def _keys(table: pa.Table) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(table["root"], table["path"], _SEPARATOR)


def _joined(root: str, path: str) -> str:
    return f"{root}{_SEPARATOR}{path}"


def publish(
    output: Path, images: pa.Table, faces: pa.Table, identity: dict[str, Any], generation: int, csv: bool
) -> None:
    """Write both tables (and their CSV) beside the old ones, then replace all of them together.

    The names of the finished files are noted in a journal before the first is replaced; a run that finds one
    (``finish_publishing``) goes on replacing, so that the tables never disagree once a run has ended.
    """
    facts = metadata(identity, generation=generation)
    images, faces = with_whole_dictionaries(images), with_whole_dictionaries(faces)
    writers: dict[str, Callable[[BinaryIO], object]] = {
        FACES_FILE: partial(pq.write_table, faces.replace_schema_metadata(facts), compression="zstd"),
        IMAGES_FILE: partial(pq.write_table, images.replace_schema_metadata(facts), compression="zstd"),
    }
    if csv:
        writers |= {"faces.csv": partial(write_csv, faces), "images.csv": partial(write_csv, images)}
    with writing(output):
        for name in writers:
            with new_file(output / _new(name)) as file:
                writers[name](file)
            flush(output / _new(name))
    write_durably(output / _JOURNAL, lambda file: file.write(json.dumps(list(writers)).encode()))
    finish_publishing(output)


def finish_publishing(output: Path) -> None:
    """Finish a publication that a kill interrupted, and remove what one left that had not come so far."""
    journal = output / _JOURNAL
    if not output.exists():
        return
    with writing(output):
        names = json.loads(journal.read_text("utf-8")) if journal.exists() else []
        for name in names:
            if (output / _new(name)).exists():
                (output / _new(name)).replace(output / name)
        flush(output)
        journal.unlink(missing_ok=True)
        for leftover in output.glob(_new("*")):
            leftover.unlink()


def _new(name: str) -> str:
    return f".{name}.new"


def merged_images(old: Path | None, new: list[Path], dropped: Iterable[Key]) -> pa.Table:
    """The table of images after this run, sorted by root and path."""
    return merge(old, new, dropped, IMAGES, ["root", "path"], new)


def merged_faces(
    old: Path | None, new: list[Path], dropped: Iterable[Key], images: list[Path], labels: tuple[str, ...]
) -> pa.Table:
    """The table of faces after this run, sorted by root, path and face."""
    return merge(old, new, dropped, faces_schema(labels), ["root", "path", "face"], images)
