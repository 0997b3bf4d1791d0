"""Images as the tables tell of them, for pictures to be made of: nothing is detected anew."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import pandas as pd

from batch.outcome import Box, Key, Outcome, Setback, Status
from batch.roots.root import Version
from batch.settings import WorkerSettings
from batch.tables.files import NoPicture
from batch.tables.snapshot import read_annotations
from batch.workers.pool import annotate_images, believed

log = logging.getLogger("annotate.pictures")


@dataclass(frozen=True)
class AnnotatedFace:
    """A face of faces.parquet; ``label`` is an index into the labels, ``number`` its place in its image."""

    number: int
    box: Box
    label: int
    confidence: float


@dataclass(frozen=True)
class AnnotatedImage:
    """An image that could be read, with its faces, the largest first; the workers know it by its key and version."""

    key: Key
    version: Version
    annotated_at: datetime
    faces: tuple[AnnotatedFace, ...]


class Pictures(Protocol):
    """Pictures of one kind that are made of images."""

    def are_due(self, image: AnnotatedImage) -> bool:
        """Whether one is missing."""

    def write(self, image: AnnotatedImage) -> None:
        """Write what is missing; raises NoPicture or OutputError. An image that cannot be read any more has none."""


def write_pictures(pictures: Sequence[Pictures], images: Iterable[AnnotatedImage], jobs: int) -> Iterator[None]:
    """Write the pictures that are due, by that many processes (0: here), and yield after each image.

    One that kills its processes, or whose picture cannot have its name, has none, with a warning. Raises OutputError or
    WorkersError.
    """
    due: Iterator[Any] = (image for image in images if any(one.are_due(image) for one in pictures))
    work = partial(_write_each, pictures)
    with closing(annotate_images(due, WorkerSettings(), jobs, work)) as results:
        for result in believed(results):
            reason = result.reason if isinstance(result, Setback) else cast(Outcome, result).error
            if reason:
                log.warning("no picture of %s/%s: %s", *result.found.key, reason)
            yield


def _write_each(pictures: Sequence[Pictures], chunk: list[Any], _settings: WorkerSettings) -> Iterator[Outcome]:
    """Write what is due of each image, in a worker process; the error tells why there is no picture."""
    for image in chunk:
        error = None
        for one in pictures:
            try:
                if one.are_due(image):
                    one.write(image)
            except NoPicture as none:
                error = str(none)
        yield Outcome(image, Status.OK, error)


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
