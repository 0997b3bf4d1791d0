"""The report's contact sheets: of each emotion the surest faces and the least sure, cut out of their photographs."""

import base64
import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from batch.errors import RootError
from batch.faults import TransientError
from batch.images.decode import read_picture
from batch.outcome import ImageError, Key
from batch.roots import image_source, open_root
from batch.roots.root import ImageSource
from jobs.report_page.rows import link_of

_SHOWN, _TRIED = 8, 32
"""Faces of a sheet, and how many are looked at to find so many different ones."""
_SIDE, _AROUND, _QUALITY = 96, 1.3, 80
_ALIKE, _GRAY, _SHIFT, _SIZES = 0.9, 32, 5, (20, 22, 24)
"""Least correlation of two small gray pictures of one face, their side, by how much one may be shifted, and
sides of its middle: boxes of one face differ a little from copy to copy."""


@dataclass(frozen=True)
class ShownFace:
    """A face of the contact sheet; ``picture`` is a data URL, None if the photograph cannot be read any more."""

    row: int
    """Its row in faces.parquet."""
    name: str
    confidence: float
    picture: str | None
    link: str | None


@dataclass(frozen=True)
class Sheet:
    """The surest faces of an emotion, surest first, and the least sure, least sure first."""

    emotion: str
    surest: list[ShownFace]
    least_sure: list[ShownFace]


def contact_sheets(faces: pd.DataFrame, labels: list[str], page: Path) -> list[Sheet]:
    """A sheet per label of ``labels`` that any of ``faces`` has; no face comes twice.

    ``faces`` are rows of faces.parquet, with size_bytes and modified_ns of their images.
    Copies of a photograph have the same numbers; smaller ones, and those saved anew, still look alike.
    """
    faces = faces.assign(row=np.arange(len(faces)))
    faces = faces.drop_duplicates(["x", "y", "width", "height", *labels])
    faces = faces.assign(readable=faces["root"].map({root: _is_there(root) for root in faces["root"].unique()}))
    sheets = []
    for label in labels:
        of_label = faces[faces["emotion"] == label].sort_values("confidence", kind="stable")
        if len(of_label):
            half, seen = len(of_label) // 2, list[np.ndarray]()
            surest = _different(of_label.iloc[half:].iloc[::-1], seen, page)
            sheets.append(Sheet(label, surest, _different(of_label.iloc[:half], seen, page)))
    return sheets


def _different(faces: pd.DataFrame, seen: list[np.ndarray], page: Path) -> list[ShownFace]:
    """The first of the faces that look different from each other and from those seen."""
    shown: list[ShownFace] = []
    for row in faces.head(_TRIED).itertuples():
        cut = _picture(row)
        if cut is not None:
            gray = np.asarray(cut.convert("L").resize((_GRAY, _GRAY), Image.Resampling.BOX))
            if any(_are_alike(gray, other) for other in seen):
                continue
            seen.append(gray)
        link = link_of(row.root, row.path, page) if row.readable else None
        shown.append(ShownFace(row.row, row.path, row.confidence, None if cut is None else _as_url(cut), link))
        if len(shown) == _SHOWN:
            break
    return shown


def _are_alike(gray: np.ndarray, other: np.ndarray) -> bool:
    """Whether the one's middle is found in the other, as large as it is, a little smaller or larger."""
    for whole, part in ((gray, other), (other, gray)):
        middle = part[_SHIFT:-_SHIFT, _SHIFT:-_SHIFT]
        for side in _SIZES:
            resized = cv2.resize(middle, (side, side))
            if cv2.matchTemplate(whole, resized, cv2.TM_CCOEFF_NORMED).max() >= _ALIKE:
                return True
    return False


def _picture(face: Any) -> Image.Image | None:
    side = max(face.width, face.height, 1) * _AROUND
    if face.readable:
        with suppress(ImageError, RootError, TransientError):
            source = image_source(Key(face.root, face.path), (face.size_bytes, face.modified_ns))
            return _cut(source, face.x + face.width / 2, face.y + face.height / 2, side)
    return None


def _is_there(root: str) -> bool:
    """Whether to ask a root for its photographs at all: a store that does not answer takes its time each time."""
    try:
        open_root(root).check_still_there()
    except RootError:
        return False
    return True


def _cut(file: ImageSource, across: float, down: float, side: float) -> Image.Image:
    """The square of that centre and side, in pixels of the full-size photograph, at 96 pixels; raises ImageError."""
    picture, shrink = read_picture(file, least=_SIDE / side)
    left, top = round((across - side / 2) * shrink), round((down - side / 2) * shrink)
    cut = picture.crop((left, top, left + round(side * shrink), top + round(side * shrink)))
    return cut.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _as_url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
