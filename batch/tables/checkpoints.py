"""Finished work of a run that is still under way, kept against a kill at any instant."""

import json
import logging
import time
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.outcome import Outcome
from batch.tables.files import reading, write_durably, writing
from batch.tables.schema import face_rows, image_rows, metadata

log = logging.getLogger("annotate.checkpoints")

EVERY_SECONDS, EVERY_IMAGES = 5.0, 1000

_IMAGES, _FACES = ".images.parquet", ".faces.parquet"
_DAMAGED = ".damaged"


class _State(Enum):
    WHOLE = "whole"
    FOREIGN = "made by another model or detector"
    DAMAGED = "damaged"


class Checkpoints:
    """The folder ``checkpoints/``: numbered pairs of tables, ``N.faces.parquet`` written before ``N.images.parquet``.

    A pair counts once its second file is there, if both are whole and the same model and detector made them. What
    cannot be read for now is an OutputError and stays; what is damaged is put aside under another name.
    """

    def __init__(self, output: Path, identity: dict[str, Any], labels: tuple[str, ...]) -> None:
        self._folder, self._identity, self._labels = output / "checkpoints", identity, labels
        self._waiting: list[Outcome] = []
        self._written: dict[Path, int] = {}
        """Rows of the tables of images that this run has written."""
        self._written_at = time.monotonic()
        numbers = (name.split(".")[0] for name in self._names())
        self._last = max((int(number) for number in numbers if number.isdecimal()), default=0)

    def images(self) -> list[Path]:
        """The tables of images of the pairs that count, oldest first; raises OutputError if one cannot be read."""
        return [images for images in self._pairs() if self._state(images) is _State.WHOLE]

    def faces(self) -> list[Path]:
        """The tables of faces that belong to ``images()``, in the same order."""
        return [faces_of(images) for images in self.images()]

    def put_aside(self) -> int:
        """Give damaged pairs another name, and say so; how many there were, with those of this run that are missing."""
        pairs = self._pairs()
        damaged = [images for images in pairs if self._state(images) is _State.DAMAGED]
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
            self._write(faces_of(images), face_rows(self._waiting, self._labels))
            self._write(images, image_rows(self._waiting))
            self._written[images] = len(self._waiting)
            self._waiting = []
        self._written_at = time.monotonic()

    def clear(self, published: list[Path]) -> None:
        """Remove pairs that stand in the tables: first what makes a pair count, so that a kill leaves no half of one.

        Halves that kills have left go, too; pairs of another model or detector, and damaged ones, stay.
        """
        with writing(self._folder):
            for file in (*published, *map(faces_of, published)):
                file.unlink(missing_ok=True)
            for name in self._names():
                file = self._folder / name
                half = name.endswith(_FACES) and not file.with_name(name.replace(_FACES, _IMAGES)).exists()
                if half or name.endswith(".unfinished"):
                    file.unlink(missing_ok=True)
            self._written = {}
            if self._folder.exists() and not self._names():
                self._folder.rmdir()

    def _names(self) -> list[str]:
        with reading(self._folder), suppress(FileNotFoundError):
            return sorted(file.name for file in self._folder.iterdir())
        return []

    def _pairs(self) -> list[Path]:
        names = (name for name in self._names() if name.endswith(_IMAGES) and name.split(".")[0].isdecimal())
        return [self._folder / name for name in names]

    def _state(self, images: Path) -> _State:
        tables = [_table(images), _table(faces_of(images))]
        makers = [_made_by(table) for table in tables]
        ours = json.dumps(self._identity, sort_keys=True)
        if tables[0] is not None and makers[0] != ours:
            return _State.FOREIGN
        if tables[0] is None or tables[1] is None or makers[1] != ours:
            return _State.DAMAGED
        rows, faces = len(tables[0]), pc.sum(tables[0]["faces"]).as_py() or 0
        sound = rows == self._written.get(images, rows) and faces == len(tables[1])
        return _State.WHOLE if sound else _State.DAMAGED

    def _write(self, file: Path, table: pa.Table) -> None:
        table = table.replace_schema_metadata(metadata(self._identity))
        write_durably(file, lambda opened: pq.write_table(table, opened))


def faces_of(images: Path) -> Path:
    """The table of faces that belongs to a table of images."""
    return images.with_name(images.name.replace(_IMAGES, _FACES))


def _table(file: Path) -> pa.Table | None:
    """The table, read to its end; None if it is missing or damaged. Raises OutputError if it cannot be read."""
    try:
        with reading(file):
            content = file.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return pq.read_table(pa.BufferReader(content))
    except (OSError, pa.ArrowException):
        return None


def _made_by(table: pa.Table | None) -> str | None:
    made_by = (table.schema.metadata or {}).get(b"identity") if table is not None else None
    return made_by.decode(errors="replace") if made_by else None
