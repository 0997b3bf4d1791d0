"""The columns of the tables, and outcomes as rows."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from batch.outcome import Box, Outcome, Quality

SCHEMA_VERSION = 2
_LARGEST_INT32 = 2**31 - 1

IMAGES = pa.schema(
    {
        "root": pa.string(),
        "path": pa.string(),
        "status": pa.string(),
        "error": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "faces": pa.int16(),
        "taken_at": pa.timestamp("s"),
        "size_bytes": pa.int64(),
        "modified_ns": pa.int64(),
        "annotated_at": pa.timestamp("us", tz="UTC"),
    }
)


def faces_schema(labels: tuple[str, ...]) -> pa.Schema:
    """The columns of faces.parquet, with one probability column per label.

    Texts of few values have a dictionary inside the file alone. As a type it would differ from one shard to the next:
    pyarrow does not join such tables once one has no rows, and Dask does not write them.
    """
    return pa.schema(
        {
            "root": pa.string(),
            "path": pa.string(),
            "face": pa.int16(),
            **dict.fromkeys(("x", "y", "width", "height"), pa.int32()),
            "face_score": pa.float32(),
            **dict.fromkeys(Quality._fields, pa.float32()),
            "touches_border": pa.bool_(),
            "emotion": pa.string(),
            "confidence": pa.float32(),
            **dict.fromkeys(labels, pa.float32()),
        }
    )


def metadata(identity: dict[str, Any], **more: Any) -> dict[str, str]:
    """Parquet key-value metadata: who made the rows, as JSON, and whatever else is to be known of the file."""
    return {"identity": json.dumps(identity, sort_keys=True), **{name: str(value) for name, value in more.items()}}


def image_rows(outcomes: Iterable[Outcome]) -> pa.Table:
    """One row per outcome, annotated now."""
    now = datetime.now(UTC)
    return pa.Table.from_pylist([_image_row(outcome, now) for outcome in outcomes], IMAGES)


def _image_row(outcome: Outcome, now: datetime) -> dict[str, Any]:
    sized = outcome.width is not None and max(outcome.width, outcome.height or 0) <= _LARGEST_INT32
    return {
        "root": outcome.found.key.root,
        "path": outcome.found.key.path,
        "status": str(outcome.status),
        "error": outcome.error,
        "width": outcome.width if sized else None,
        "height": outcome.height if sized else None,
        "faces": len(outcome.faces),
        "taken_at": outcome.taken_at,
        "size_bytes": outcome.found.size_bytes,
        "modified_ns": outcome.found.modified_ns,
        "annotated_at": now,
    }


def face_rows(outcomes: Iterable[Outcome], labels: tuple[str, ...]) -> pa.Table:
    """One row per face of the outcomes, largest face first within its image."""
    rows = [row for outcome in outcomes for row in _face_rows(outcome, labels)]
    return pa.Table.from_pylist(rows, faces_schema(labels))


def _face_rows(outcome: Outcome, labels: tuple[str, ...]) -> Iterable[dict[str, Any]]:
    for number, face in enumerate(outcome.faces):
        box, probabilities = face.box, face.probabilities
        best = int(probabilities.argmax())
        x, width = _whole_pixels(box.x, box.width, outcome.width or _LARGEST_INT32)
        y, height = _whole_pixels(box.y, box.height, outcome.height or _LARGEST_INT32)
        yield {
            "root": outcome.found.key.root,
            "path": outcome.found.key.path,
            "face": number,
            "x": x,
            "y": y,
            "width": width,
            "height": height,
            "face_score": face.score,
            **face.quality._asdict(),
            "touches_border": _touches_border(box, outcome.width, outcome.height),
            "emotion": labels[best],
            "confidence": float(probabilities[best]),
            **{label: float(value) for label, value in zip(labels, probabilities, strict=True)},
        }


def _touches_border(box: Box, width: int | None, height: int | None) -> bool:
    """Whether a box reaches the border of its image, so that the face may be cut off."""
    left, top = round(box.x), round(box.y)
    right, bottom = left + round(box.width), top + round(box.height)
    return min(left, top) <= 0 or right >= (width or _LARGEST_INT32) or bottom >= (height or _LARGEST_INT32)


def _whole_pixels(start: float, length: float, side: int) -> tuple[int, int]:
    """Where a box starts and how long it is, along a side of its image: cut off at the borders, at least one pixel."""
    first, end = round(start), round(start) + round(length)
    first = min(max(0, first), side - 1)
    return first, max(1, min(end, side) - first)
