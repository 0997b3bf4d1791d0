"""JSON Lines (https://jsonlines.org): an object per image, with a list of its faces."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from jobs.exports.records import AnnotatedTables


def json_lines(annotated: AnnotatedTables) -> Iterator[str]:
    """A line per image, also of those that could not be read: the columns of its row, and as ``faces`` its faces'."""
    for image in annotated.images:
        faces = [{name: _short(face[name]) for name in face if name not in image.key._fields} for face in image.faces]
        yield json.dumps({**image.row, "faces": faces}, default=_as_json, ensure_ascii=False) + "\n"


def _short(value: Any) -> Any:
    """A 32-bit number without the digits that it does not have."""
    return round(value, 6) if isinstance(value, float) else value


def _as_json(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{value!r} is in no table")
