"""Finished work of a run that is still under way, kept against a kill at any instant."""

import json
import logging
import math
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.outcome import Outcome
from batch.tables.content import content_of
from batch.tables.files import flush, reading, replacing, to_disk, write_durably, writing
from batch.tables.merge import Source, belong_together, merge
from batch.tables.parquet import WRITTEN
from batch.tables.rows import Columns, Rows, write_rows
from batch.tables.schema import IMAGES, face_rows, faces_schema, image_rows, metadata
from batch.waiting_for_disks import asking

log = logging.getLogger("annotate.checkpoints")

EVERY_SECONDS, EVERY_IMAGES = 5.0, 1000
TOGETHER = 16
"""Pairs that are made one, and 16 of those again, so that a long run leaves few of them to read and to merge."""

_ROW_GROUP = 2**12
"""Rows: whoever reads a table holds as many, and 16 of them are read at once."""

_IMAGES, _FACES = ".images.parquet", ".faces.parquet"
_DAMAGED = ".damaged"
_NUMBERS = re.compile(r"(\d+)(?:-(\d+))?\.(?:images|faces)\.parquet")
"""What else lies in the folder (a file manager's files, copies of copies, folders) is left alone."""


class _State(Enum):
    WHOLE = "whole"
    FOREIGN = "made by another model or detector"
    DAMAGED = "damaged"


class Checkpoints:
    """The folder ``checkpoints/``: numbered pairs of tables, ``N.faces.parquet`` written before ``N.images.parquet``.

    A pair counts once its second file is there, if both are whole and the same model and detector made them. What
    cannot be read for now is an OutputError and stays; what is damaged is put aside under another name. A pair
    ``N-M`` is N to M made one: what of these is still there, as a kill may leave it, does not count beside it.
    """

    def __init__(self, output: Path, identity: dict[str, Any], labels: tuple[str, ...]) -> None:
        self._folder, self._identity, self._labels = output / "checkpoints", identity, labels
        self._waiting: list[Outcome] = []
        self._written: dict[Path, int] = {}
        """Rows of the tables of images that this run has written."""
        self._written_at = time.monotonic()
        self._states: dict[tuple[Any, ...], _State] = {}
        """Of files that have not changed since."""
        self._at_hand: dict[Path, Rows] | None = None
        """Of small pairs, what was read to learn their states, where it is of use again."""
        numbered = (_NUMBERS.match(name) for name in self._names())
        self._last = max((_numbers(match.string)[1] for match in numbered if match), default=0)

    def images(self) -> list[Path]:
        """The tables of images of the pairs that count, oldest first; raises OutputError if one cannot be read."""
        return [images for images in self._ours() if self._state(images) is _State.WHOLE]

    def sources(self) -> list[Source]:
        """The pairs that count, oldest first; raises OutputError if one cannot be read."""
        return [Source(images, faces_of(images)) for images in self.images()]

    def put_aside(self) -> int:
        """Give damaged pairs another name, and say so; how many there were, with those of this run that are missing."""
        pairs = self._pairs()
        damaged = [images for images in self._ours() if self._state(images) is _State.DAMAGED]
        lost = [images for images in self._written if images not in pairs]
        for images in damaged:
            with writing(self._folder):
                for file in (images, faces_of(images)):
                    if file.exists():
                        file.replace(file.with_name(file.name + _DAMAGED))
            log.warning("%s is damaged and put aside as %s%s; its images are done again", images, images.name, _DAMAGED)
        for images in lost:
            log.warning("%s has vanished; its images are done again", images)
        for images in (*damaged, *lost):
            self._written.pop(images, None)
        return len(damaged) + len(lost)

    def add(self, outcome: Outcome) -> None:
        """Take a finished outcome; write a checkpoint every few seconds or thousand images."""
        self._waiting.append(outcome)
        if len(self._waiting) >= EVERY_IMAGES or time.monotonic() - self._written_at >= EVERY_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what has not been written yet."""
        if self._waiting:
            with writing(self._folder):
                self._folder.mkdir(exist_ok=True)
            self._last += 1
            images = self._folder / f"{self._last:08d}{_IMAGES}"
            outcomes = sorted(self._waiting, key=lambda outcome: outcome.found.key)
            self._write(faces_of(images), face_rows(outcomes, self._labels))
            self._write(images, image_rows(outcomes))
            self._written[images] = len(outcomes)
            self._waiting = []
            if self._last % TOGETHER == 0:
                self.compact()
        self._written_at = time.monotonic()

    def compact(self) -> None:
        """Make each 16 pairs in a row one, and each 16 of those again; small ones are read but once for it."""
        pairs: list[Path] = []
        self._at_hand = {}
        for pair in self._ours():
            pairs.append(pair)
            while len(last := pairs[-TOGETHER:]) == TOGETHER and len({_level(images) for images in last}) == 1:
                if any(self._state(images) is not _State.WHOLE for images in last):
                    break
                pairs[-TOGETHER:] = [self._made_one(last)]
                self._at_hand.clear()
        self._at_hand = None

    def clear(self, published: list[Path]) -> None:
        """Remove pairs that stand in the tables: first what makes a pair count, so that a kill leaves no half of one.

        The oldest go first, so that what a kill leaves is newer than the tables. Halves that kills have left go, too;
        pairs of another model or detector, and damaged ones, stay.
        """
        made_one = set(self._pairs(foreign=False)).difference(self._ours())
        published = [*sorted(made_one, key=_order), *published]
        with writing(self._folder):
            for file in (*published, *map(faces_of, published)):
                file.unlink(missing_ok=True)
            for name in self._names():
                file = self._folder / name
                numbered = name.endswith(_FACES) and _NUMBERS.fullmatch(name)
                half = numbered and not file.with_name(name.replace(_FACES, _IMAGES)).exists()
                if (half or name.endswith(".unfinished")) and not file.is_dir():
                    file.unlink(missing_ok=True)
            self._written = {}
            if self._folder.exists() and not self._folder.is_symlink() and not self._names():
                self._folder.rmdir()

    def _names(self) -> list[str]:
        with reading(self._folder), suppress(FileNotFoundError), asking(self._folder):
            return sorted(file.name for file in self._folder.iterdir())
        return []

    def _pairs(self, foreign: bool = True) -> list[Path]:
        """The tables of images of all pairs, oldest first; of several with the same first number the largest first."""
        names = (name for name in self._names() if name.endswith(_IMAGES) and _NUMBERS.fullmatch(name))
        pairs = sorted((images for name in names if (images := self._folder / name).is_file()), key=_order)
        return pairs if foreign else [pair for pair in pairs if self._state(pair) is not _State.FOREIGN]

    def _ours(self) -> Iterator[Path]:
        """Those that the same model and detector made, without what has been made one with others; looks as it goes."""
        reached = 0
        for images in self._pairs():
            first, last = _numbers(images.name)
            if last > reached and (state := self._state(images)) is not _State.FOREIGN:
                yield images
                if last > first and state is _State.WHOLE:
                    reached = last

    def _made_one(self, pairs: list[Path]) -> Path:
        """Write pairs as one; they go once that is on the disk."""
        first, last = _numbers(pairs[0].name)[0], _numbers(pairs[-1].name)[1]
        images = self._folder / f"{first:08d}-{last:08d}{_IMAGES}"
        columns, facts = Columns(IMAGES, faces_schema(self._labels)), metadata(self._identity)
        at_hand = self._at_hand or {}
        rows = merge([at_hand.get(pair) or Source(pair, faces_of(pair)) for pair in pairs], columns)
        with writing(images), replacing(images) as image_file:
            with replacing(faces_of(images)) as face_file:
                count = write_rows(rows, columns, facts, image_file, face_file, "snappy", _ROW_GROUP)
                to_disk(face_file)
            flush(self._folder)
            to_disk(image_file)
        with writing(images):
            flush(self._folder)
            self._written[images] = count.images
            for pair in pairs:
                self._written.pop(pair, None)
                pair.unlink()
                faces_of(pair).unlink()
        return images

    def _state(self, images: Path) -> _State:
        version = (images, *_version(images), *_version(faces_of(images)))
        if version not in self._states:
            self._states[version] = self._looked_at(images)
        return self._states[version]

    def _looked_at(self, images: Path) -> _State:
        ours, columns = json.dumps(self._identity, sort_keys=True), Columns(IMAGES, faces_schema(self._labels))
        table = content_of(images, ours, columns.images)
        faces = content_of(faces_of(images), ours, columns.faces)
        if table is not None and table.made_by != ours:
            return _State.FOREIGN
        if table is None or faces is None or faces.made_by != ours:
            return _State.DAMAGED
        self._keep_at_hand(images, table.pieces, faces.pieces)
        sound = table.rows == self._written.get(images, table.rows) and table.faces == faces.rows
        return _State.WHOLE if sound else _State.DAMAGED

    def _keep_at_hand(self, images: Path, *pieces: list[pa.Table]) -> None:
        if self._at_hand is not None and len(self._at_hand) < TOGETHER and all(pieces):
            rows = Rows(*map(pa.concat_tables, pieces))
            if belong_together(rows.images, rows.faces):  # else merging says what is wrong
                self._at_hand[images] = rows

    def _write(self, file: Path, table: pa.Table) -> None:
        table = table.replace_schema_metadata(metadata(self._identity))
        write_durably(file, lambda opened: pq.write_table(table, opened, **WRITTEN))


def faces_of(images: Path) -> Path:
    """The table of faces that belongs to a table of images."""
    return images.with_name(images.name.replace(_IMAGES, _FACES))


def _numbers(name: str) -> tuple[int, int]:
    """The first and the last of the pairs that were made this one."""
    match = _NUMBERS.match(name)
    assert match is not None  # noqa: S101 - only such names get here
    return int(match[1]), int(match[2] or match[1])


def _order(images: Path) -> tuple[int, int]:
    first, last = _numbers(images.name)
    return first, -last


def _level(images: Path) -> int:
    """How many times pairs were made one, about: some numbers may be missing."""
    first, last = _numbers(images.name)
    return round(math.log(last - first + 1, TOGETHER))


def _version(file: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    with reading(file), suppress(FileNotFoundError):
        status = file.stat()
        return status.st_ino, status.st_size, status.st_mtime_ns
    return ()
