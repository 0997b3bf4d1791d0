"""Images as the tables tell of them, for pictures to be made of: nothing is detected anew."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import pandas as pd
from joblib import Parallel, delayed

from batch.outcome import Box, Key
from batch.roots.root import Version
from batch.tables.snapshot import read_annotations


@dataclass(frozen=True)
class AnnotatedFace:
    """A face of faces.parquet; ``label`` is an index into the labels, ``number`` its place in its image."""

    number: int
    box: Box
    label: int
    confidence: float


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that could be read, with its faces, the largest first."""

    key: Key
    version: Version
    annotated_at: datetime
    faces: tuple[AnnotatedFace, ...]


class Pictures(Protocol):
    """Pictures of one kind that are made of images."""

    def are_due(self, image: AnnotatedImage) -> bool:
        """Whether one is missing."""

    def write(self, image: AnnotatedImage) -> None:
        """Write what is missing; raises OutputError. An image that cannot be read any more has none."""


def write_pictures(pictures: Iterable[Pictures], images: Iterable[AnnotatedImage], jobs: int) -> Iterator[None]:
    """Write the pictures that are due, in that many processes (0: here), and yield after each; raises OutputError."""
    due = (delayed(one.write)(image) for image in images for one in pictures if one.are_due(image))
    yield from Parallel(max(1, jobs), return_as="generator")(due)


def annotated_images(output: Path, labels: tuple[str, ...]) -> Iterator[AnnotatedImage]:
    """The images of the published tables that could be read, sorted by root and path."""
    faces, images = read_annotations(output)
    images = images[images["status"].isin(["ok", "no_face"])]
    number_of = {label: number for number, label in enumerate(labels)}
    by_image = {Key(*key): rows for key, rows in faces.groupby(["root", "path"], observed=True)}
    columns = (images[name] for name in ("root", "path", "size_bytes", "modified_ns", "annotated_at"))
    for root, path, size_bytes, modified_ns, annotated_at in zip(*columns, strict=True):
        rows = by_image.get(Key(root, path))
        found = () if rows is None else tuple(_faces(rows, number_of))
        yield AnnotatedImage(Key(root, path), (size_bytes, modified_ns), annotated_at, found)


def _faces(rows: pd.DataFrame, number_of: dict[str, int]) -> Iterator[AnnotatedFace]:
    for row in rows.itertuples():
        box = Box(row.x, row.y, row.width, row.height)
        yield AnnotatedFace(row.face, box, number_of[row.emotion], row.confidence)
