"""Write snapshot and checkpoints as new tables and put them in the place of the old ones."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from batch.tables.files import flush, new_file, write_durably, writing
from batch.tables.rows import Columns, Count, Rows, write_rows
from batch.tables.schema import IMAGES, faces_schema, metadata
from batch.tables.snapshot import FACES_FILE, IMAGES_FILE

_JOURNAL = ".publishing.json"
_CSV = ("images.csv", "faces.csv")


def publish(
    output: Path,
    parts: Iterable[Rows],
    labels: tuple[str, ...],
    identity: dict[str, Any],
    generation: int,
    csv: bool,
    check: Callable[[int], None] = lambda _images: None,
) -> Count:
    """Write sorted rows as both tables (and their CSV) beside the old ones, then replace all of them together.

    ``check`` is told how many images there are and may raise, before anything is replaced. The names of the finished
    files are noted in a journal before the first is replaced; a run that finds one (``finish_publishing``) goes on
    replacing, so that the tables never disagree once a run has ended.
    """
    facts, columns = metadata(identity, generation=generation), Columns(IMAGES, faces_schema(labels))
    names = [FACES_FILE, IMAGES_FILE, *(reversed(_CSV) if csv else ())]
    with writing(output):
        with ExitStack() as opened:
            files = {name: opened.enter_context(new_file(output / _new(name))) for name in names}
            if csv:
                parts = _written_as_csv(parts, columns, [files[name] for name in _CSV])
            count = write_rows(parts, columns, facts, files[IMAGES_FILE], files[FACES_FILE], "zstd")
        check(count.images)
        for name in names:
            flush(output / _new(name))
    write_durably(output / _JOURNAL, lambda file: file.write(json.dumps(names).encode()))
    finish_publishing(output)
    return count


def _written_as_csv(parts: Iterable[Rows], columns: Columns, files: list[BinaryIO]) -> Iterator[Rows]:
    """Write what passes."""
    from batch.tables.csv_tables import write_csv  # and pandas with it, which few runs need

    for schema, file in zip(columns, files, strict=True):
        write_csv(schema.empty_table(), file)
    for rows in parts:
        for table, file in zip((rows.images, rows.faces), files, strict=True):
            write_csv(table, file, header=False)
        yield rows


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
