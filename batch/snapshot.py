"""The published tables, read back: the output is the state."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.errors import OutputError
from batch.outcome import FAILED, Key
from batch.schema import SCHEMA_VERSION

IMAGES_FILE, FACES_FILE = "images.parquet", "faces.parquet"


@dataclass(frozen=True)
class Version:
    """What of a known image tells whether it has changed, and whether it failed."""

    size_bytes: int
    modified_ns: int
    failed: bool


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
    """Find out what ``output`` holds.

    Raises OutputError if its tables are damaged, foreign, from a newer version, or of different generations.
    """
    images, faces = output / IMAGES_FILE, output / FACES_FILE
    if not images.exists() and not faces.exists():
        return Snapshot(output, None, 0)
    (identity, generation), (_, other) = _facts(images), _facts(faces)
    if generation != other:
        raise OutputError(
            f"{images} is generation {generation}, {faces} is {other}: one was replaced by hand. "
            "Restore both from the same backup, or move both away to annotate everything anew."
        )
    if identity.get("schema") != SCHEMA_VERSION:
        raise OutputError(
            f"{images} has schema version {identity.get('schema')}, expected {SCHEMA_VERSION}. "
            "Use the version of emotion-annotate that wrote it, or another output."
        )
    return Snapshot(output, identity, generation)


def _facts(file: Path) -> tuple[dict[str, Any], int]:
    way_out = "Restore it from a backup, or move faces.parquet and images.parquet away to annotate everything anew."
    try:
        facts = pq.read_metadata(file).metadata or {}
        identity = json.loads(facts[b"identity"])
        return (identity if isinstance(identity, dict) else {}), int(facts[b"generation"])
    except FileNotFoundError as error:
        raise OutputError(f"{file} is missing, but the table beside it is there. {way_out}") from error
    except (OSError, pa.ArrowException, ValueError) as error:
        raise OutputError(f"{file} is damaged: {error}. {way_out}") from error
    except KeyError as error:
        raise OutputError(f"{file} was not written by annotate. Use another output folder.") from error


def known_images(files: Iterable[Path]) -> dict[Key, Version]:
    """The images whose outcome stands in ``files`` (tables of images, later ones win)."""
    known: dict[Key, Version] = {}
    columns = ["root", "path", "size_bytes", "modified_ns", "status"]
    for file in files:
        try:
            for batch in pq.ParquetFile(file).iter_batches(columns=columns):
                values = (batch.column(name).to_pylist() for name in columns)
                for root, path, size, modified, status in zip(*values, strict=True):
                    known[Key(root, path)] = Version(size, modified, status in FAILED)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(
                f"{file} cannot be read: {error}. Move it away; its images are annotated anew."
            ) from error
    return known
