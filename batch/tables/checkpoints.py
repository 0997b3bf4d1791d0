"""Finished work of a run that is still under way, kept against a kill at any instant."""

import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.outcome import Outcome
from batch.tables.files import write_durably, writing
from batch.tables.schema import face_rows, image_rows, metadata

EVERY_SECONDS, EVERY_IMAGES = 5.0, 1000


class Checkpoints:
    """The folder ``checkpoints/``: numbered pairs of tables, ``N.faces.parquet`` written before ``N.images.parquet``.

    A pair counts once its second file is there, if both are whole and the same model and detector made them.
    """

    def __init__(self, output: Path, identity: dict[str, Any], labels: tuple[str, ...]) -> None:
        self._folder, self._identity, self._labels = output / "checkpoints", identity, labels
        self._waiting: list[Outcome] = []
        self._written_at = time.monotonic()
        self._last = max((int(file.name.split(".")[0]) for file in self._folder.glob("[0-9]*.parquet")), default=0)

    def images(self) -> list[Path]:
        """The tables of images, oldest first."""
        made_by = json.dumps(self._identity, sort_keys=True)
        pairs = sorted(self._folder.glob("[0-9]*.images.parquet"))
        return [images for images in pairs if made_by == _made_by(images) == _made_by(_faces_of(images))]

    def faces(self) -> list[Path]:
        """The tables of faces that belong to ``images()``, in the same order."""
        return [_faces_of(images) for images in self.images()]

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
            self._write(f"{self._last:08d}.faces.parquet", face_rows(self._waiting, self._labels))
            self._write(f"{self._last:08d}.images.parquet", image_rows(self._waiting))
            self._waiting = []
        self._written_at = time.monotonic()

    def clear(self) -> None:
        """Remove the checkpoints: first what makes a pair count, so that a kill in between leaves no half of one."""
        for pattern in ("*.images.parquet", "*.parquet", ".*.unfinished"):
            for file in self._folder.glob(pattern):
                file.unlink(missing_ok=True)
        if self._folder.exists():
            self._folder.rmdir()

    def _write(self, name: str, table: pa.Table) -> None:
        table = table.replace_schema_metadata(metadata(self._identity))
        write_durably(self._folder / name, lambda file: pq.write_table(table, file))


def _faces_of(images: Path) -> Path:
    return images.with_name(images.name.replace(".images.", ".faces."))


def _made_by(file: Path) -> str | None:
    try:
        made_by = (pq.read_metadata(file).metadata or {}).get(b"identity")
    except (OSError, pa.ArrowException):
        return None
    return made_by.decode() if made_by else None
