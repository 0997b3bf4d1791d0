"""Write snapshot and checkpoints as new tables and put them in the place of the old ones."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

from batch.tables.files import flush, new_file, to_disk, writing
from batch.tables.journal import JOURNAL, DamagedJournal, promise, promised, unfinished
from batch.tables.rows import Columns, Count, Rows, write_rows
from batch.tables.schema import IMAGES, faces_schema, metadata
from batch.tables.snapshot import FACES_FILE, IMAGES_FILE, make_a_pair
from batch.waiting_for_disks import asking

log = logging.getLogger("annotate.publish")

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
    with writing(output), ExitStack() as opened:
        files = {name: opened.enter_context(new_file(unfinished(output, name))) for name in names}
        if csv:
            parts = _written_as_csv(parts, columns, [files[name] for name in _CSV])
        count = write_rows(parts, columns, facts, files[IMAGES_FILE], files[FACES_FILE], "zstd")
        check(count.images)
        for file in files.values():
            to_disk(file)
    promise(output, names)
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
    if not output.exists():
        return
    with writing(output):
        for name in _promised(output):
            with asking(output / name):
                unfinished(output, name).replace(output / name)
        flush(output)
        (output / JOURNAL).unlink(missing_ok=True)
        for name in (FACES_FILE, IMAGES_FILE, *_CSV):
            unfinished(output, name).unlink(missing_ok=True)


def _promised(output: Path) -> list[str]:
    """Which files are to be put in their places; if the journal does not tell, those that make whole tables."""
    try:
        return promised(output)
    except DamagedJournal:
        names = [name for name in (FACES_FILE, IMAGES_FILE, *_CSV) if unfinished(output, name).exists()]
        places = [unfinished(output, one) if one in names else output / one for one in (FACES_FILE, IMAGES_FILE)]
        whole = bool(names) and make_a_pair(*places)
        log.warning(
            "%s is damaged, in which a run that was cut off has noted what it published; its tables %s",
            *(output / JOURNAL, "are whole and published now" if whole else "are not whole, the ones in place stay"),
        )
        return names if whole else []
