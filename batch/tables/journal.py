"""The journal of a publication: which finished files are still to be put in the places of the old ones."""

import json
from collections.abc import Iterable
from pathlib import Path

from batch.tables.files import regular_file, write_durably

JOURNAL = ".publishing.json"


class DamagedJournal(Exception):
    """The journal says nothing any more, as after a power cut on a disk that promises what it does not keep."""


def unfinished(output: Path, name: str) -> Path:
    """Where a file is written before it is put in its place."""
    return output / f".{name}.new"


def promise(output: Path, names: Iterable[str]) -> None:
    """Note that these files are whole and are going to be put in their places, whatever happens."""
    write_durably(output / JOURNAL, lambda file: file.write(json.dumps([*names]).encode()))


def promised(output: Path) -> list[str]:
    """Which files are still to be put in their places. Raises DamagedJournal or OSError."""
    try:
        with regular_file(output / JOURNAL) as journal:
            names = json.loads(journal.read())
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise DamagedJournal from error
    if not isinstance(names, list) or not all(isinstance(name, str) and "/" not in name for name in names):
        raise DamagedJournal
    return [name for name in names if unfinished(output, name).exists()]


def current(output: Path, name: str) -> Path:
    """Where the file of that name is that belongs to the newest tables. Raises DamagedJournal or OSError."""
    return unfinished(output, name) if name in promised(output) else output / name
