"""The report's contact sheets: of each emotion the surest faces and the least sure, cut out of their photographs."""

import base64
import io
from contextlib import suppress
from dataclasses import dataclass

import pandas as pd
from PIL import Image

from batch.errors import RootError
from batch.images.decode import read_picture
from batch.outcome import ImageError, Key
from batch.roots import image_source, open_root
from batch.roots.root import ImageSource

_SHOWN = 8
_SIDE, _AROUND, _QUALITY = 96, 1.3, 80


@dataclass(frozen=True)
class ShownFace:
    """A face of the contact sheet; ``picture`` is a data URL, None if the photograph cannot be read any more."""

    name: str
    confidence: float
    picture: str | None


@dataclass(frozen=True)
class Sheet:
    """The surest faces of an emotion, surest first, and the least sure, least sure first."""

    emotion: str
    surest: list[ShownFace]
    least_sure: list[ShownFace]


def contact_sheets(faces: pd.DataFrame, labels: list[str]) -> list[Sheet]:
    """A sheet per label of ``labels`` that any of ``faces`` (rows of faces.parquet) has."""
    sheets = []
    faces = faces.assign(readable=faces["root"].map({root: _is_there(root) for root in faces["root"].unique()}))
    for label in labels:
        of_label = faces[faces["emotion"] == label].sort_values("confidence", kind="stable")
        if len(of_label):
            least = of_label.head(min(_SHOWN, len(of_label) // 2))
            surest = of_label.tail(min(_SHOWN, len(of_label) - len(least))).iloc[::-1]
            sheets.append(Sheet(label, [*map(_shown, surest.itertuples())], [*map(_shown, least.itertuples())]))
    return sheets


def _shown(face: tuple[object, ...]) -> ShownFace:
    row = face._asdict()  # type: ignore[attr-defined]
    side = max(row["width"], row["height"], 1) * _AROUND
    picture = None
    if row["readable"]:
        with suppress(ImageError, RootError):
            source = image_source(Key(row["root"], row["path"]))
            picture = _cut(source, row["x"] + row["width"] / 2, row["y"] + row["height"] / 2, side)
    return ShownFace(row["path"], row["confidence"], picture)


def _is_there(root: str) -> bool:
    """Whether to ask a root for its photographs at all: a store that does not answer takes its time each time."""
    try:
        open_root(root).check_still_there()
    except RootError:
        return False
    return True


def _cut(file: ImageSource, across: float, down: float, side: float) -> str:
    """The square of that centre and side, in pixels of the full-size photograph, as a small JPEG; raises ImageError."""
    picture, shrink = read_picture(file, least=_SIDE / side)
    left, top = round((across - side / 2) * shrink), round((down - side / 2) * shrink)
    cut = picture.crop((left, top, left + round(side * shrink), top + round(side * shrink)))
    cut = cut.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    cut.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
