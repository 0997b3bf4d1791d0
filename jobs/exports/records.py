"""An output's images, each with its faces, as every export takes them."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batch.outcome import FAILED, Key
from batch.roots import open_root, picture_place
from batch.roots.root import Version
from batch.tables.snapshot import read_tables


@dataclass(frozen=True)
class AnnotatedImage:
    """A row of images.parquet, and the rows of faces.parquet that belong to it, largest face first."""

    row: dict[str, Any]
    faces: list[dict[str, Any]]

    @property
    def key(self) -> Key:
        """Its root and path, as the tables write them."""
        return Key(self.row["root"], self.row["path"])

    @property
    def version(self) -> Version:
        """Its size and time."""
        return self.row["size_bytes"], self.row["modified_ns"]

    @property
    def was_read(self) -> bool:
        """Whether it is known what faces it has."""
        return self.row["status"] not in FAILED


@dataclass(frozen=True)
class AnnotatedTables:
    """Everything that an output holds."""

    images: list[AnnotatedImage]
    labels: tuple[str, ...]
    model: str
    """SHA-256 of the emotion model."""

    @property
    def roots(self) -> list[str]:
        """The roots, as the tables write them."""
        return sorted({image.key.root for image in self.images})

    @property
    def parent(self) -> Path:
        """The folder that all roots lie in; the root itself if there is one."""
        return Path(os.path.commonpath([open_root(root).place for root in self.roots])) if self.images else Path("/")

    def places(self) -> Iterable[tuple[AnnotatedImage, Path]]:
        """The images that could be read, with their paths below ``parent``."""
        parent = self.parent
        return ((image, picture_place(image.key).relative_to(parent)) for image in self.images if image.was_read)


def read_annotated(annotations: Path, least_confidence: float = 0.0) -> AnnotatedTables:
    """Read an output, without the faces whose emotion is less sure; raises OutputError."""
    faces, images = read_tables(annotations)
    identity = identity_of(faces)
    sure = faces.filter(pc.greater_equal(faces["confidence"], least_confidence))
    by_image: defaultdict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for face in sure.to_pylist():
        by_image[face["root"], face["path"]].append(face)
    rows = [AnnotatedImage(row, by_image.get((row["root"], row["path"]), [])) for row in images.to_pylist()]
    return AnnotatedTables(rows, tuple(identity["labels"]), str(identity["model"]))


def identity_of(table: pa.Table) -> dict[str, Any]:
    """What made a table of ours."""
    facts: dict[str, Any] = json.loads(table.schema.metadata[b"identity"])
    return facts


def as_posix_name(place: Path) -> str:
    """A path as JSON can hold it: bytes that are not UTF-8 become question marks."""
    return place.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")
