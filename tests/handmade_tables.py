"""Outputs as a run publishes them, of images and faces that a test thinks up: no network is needed for them."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from batch.names import to_text
from batch.outcome import Box, Face, ImageFile, Key, Outcome, Quality, Status
from batch.tables.publish import publish
from batch.tables.rows import Rows
from batch.tables.schema import IMAGES, SCHEMA_VERSION, face_rows, faces_schema, image_rows
from model.labels import EMOTIONS

IDENTITY = {"schema": SCHEMA_VERSION, "model": "0123456789abcdef", "labels": list(EMOTIONS)}

QUALITY = Quality(0.6, 0.5, 0.25)

Faces = Mapping[tuple[float, float, float, float], str]
"""The emotion of each box x, y, width, height."""


def photograph(size: tuple[int, int], orientation: int = 1) -> tuple[Image.Image, bytes]:
    """A drawn photograph as it is stored, and the EXIF that says how it is turned upright."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return Image.fromarray(rng.integers(0, 255, (*size[::-1], 3), np.uint8)), exif.tobytes()


def outcome(
    root: Path,
    path: str,
    faces: Faces,
    confidence: float = 0.9,
    labels: tuple[str, ...] = EMOTIONS,
    quality: Quality = QUALITY,
) -> Outcome:
    """What became of a photograph that lies below ``root``, had the detector found these faces in it."""
    file = root / path
    with Image.open(file) as image:
        width, height = ImageOps.exif_transpose(image).size
    found = []
    for box, emotion in sorted(faces.items(), key=lambda face: -face[0][2] * face[0][3]):
        probabilities = np.full(len(labels), (1 - confidence) / (len(labels) - 1), np.float32)
        probabilities[labels.index(emotion)] = confidence
        found.append(Face(Box(*box), 0.99, probabilities, quality))
    return Outcome(
        ImageFile(Key(to_text(str(root)), to_text(path)), file.stat().st_size, file.stat().st_mtime_ns),
        Status.OK if faces else Status.NO_FACE,
        width=width,
        height=height,
        faces=tuple(found),
    )


def write_tables(output: Path, *outcomes: Outcome, labels: tuple[str, ...] = EMOTIONS, csv: bool = False) -> Path:
    """Publish the outcomes as an output's first generation."""
    output.mkdir(exist_ok=True)
    images = image_rows(outcomes).cast(IMAGES).sort_by([("root", "ascending"), ("path", "ascending")])
    faces = face_rows(outcomes, labels).cast(faces_schema(labels))
    faces = faces.sort_by([(name, "ascending") for name in ("root", "path", "face")])
    publish(output, [Rows(images, faces)], labels, IDENTITY | {"labels": list(labels)}, 1, csv)
    return output
