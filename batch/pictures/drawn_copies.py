"""Copies of the photographs with their faces boxed, labelled and upright, for a person to look at."""

import os
from functools import lru_cache, partial
from pathlib import Path
from typing import cast

from PIL import Image, ImageDraw, ImageFont

from batch.errors import OutputError
from batch.faults import TransientError
from batch.images.decode import read_picture
from batch.images.formats import has_image_suffix
from batch.outcome import ImageError, Key
from batch.pictures.annotated import AnnotatedFace, AnnotatedImage
from batch.pictures.labels import Label, PlacedLabel, place_labels
from batch.pictures.palette import colour_of, ink_on
from batch.roots import image_source, picture_place
from batch.tables.files import write_picture, writing

_WRITTEN_AS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
_QUALITY = 90


_SOFTWARE, _OURS = 0x0131, "emotion-annotate"
"""EXIF's tag of what has made a picture, by which a copy is known from a photograph of the same name, and our name."""


class DrawnCopies:
    """Writes FOLDER/PATH, PATH being the photograph's below ``parent``.

    Formats that people do not look at every day get ``.png`` behind their name.
    """

    def __init__(self, folder: Path, parent: Path, labels: tuple[str, ...]) -> None:
        """Make the folder; raises OutputError."""
        self._folder, self._parent, self._labels = folder, parent, labels
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def are_due(self, image: AnnotatedImage) -> bool:
        """Whether there is no copy, or one of before the image was annotated."""
        try:
            return self._file(image.key).stat().st_mtime < image.annotated_at.timestamp()
        except OSError:
            return True

    def write(self, image: AnnotatedImage) -> None:
        """Draw the faces of an image. One without faces has a copy: it is seen what was missed.

        Raises NoPicture, or OutputError, also where a file lies in its place that is no such copy.
        """
        file = self._file(image.key)
        if os.path.isfile(file) and not _is_a_copy(file):  # noqa: PTH113 - Path raises for a name that is too long
            raise OutputError(f"{file} is no copy that --draw has written. Name another folder, or move it away.")
        try:
            picture, _ = read_picture(image_source(image.key, image.version))
        except (ImageError, TransientError):  # gone or changed since it was annotated; the next run sees to it
            return
        drawn = draw_faces(picture, [self._label(face) for face in image.faces])
        kind = _WRITTEN_AS.get(file.suffix.lower(), "PNG")
        made_by = Image.Exif()
        made_by[_SOFTWARE] = _OURS
        write_picture(file, partial(drawn.save, format=kind, quality=_QUALITY, exif=made_by))

    def _file(self, key: Key) -> Path:
        file = self._folder / picture_place(key).relative_to(self._parent)
        return file.with_name(f"{file.name}.png") if _gets_png(file.name) else file

    def _label(self, face: AnnotatedFace) -> Label:
        text = f"{self._labels[face.label]} {100 * face.confidence:.0f} %"
        return Label(face.box, text, colour_of(face.label))


def _is_a_copy(file: Path) -> bool:
    try:
        with Image.open(file) as picture:
            return picture.getexif().get(_SOFTWARE) == _OURS
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _gets_png(name: str) -> bool:
    """Whether ``.png`` is put behind a name: behind ``x.gif``, and so behind ``x.gif.png``, whose copy it would be."""
    while name.lower().endswith(".png"):
        name = name[: -len(".png")]
        if not has_image_suffix(name):
            return False
    return Path(name).suffix.lower() not in _WRITTEN_AS


def draw_faces(picture: Image.Image, labels: list[Label]) -> Image.Image:
    """Draw boxes and labels into an RGB ``picture``, readable at any size of it, and give it.

    Where there is room for some faces' numbers only, it is longer by a legend of them.
    """
    placed = place_labels(labels, picture.size, _measured)
    numbered = [one for one in placed if one.number is not None]
    pen, line = ImageDraw.Draw(picture), max(1, round(max(picture.size) / 400))
    for label in labels:
        x, y, width, height = label.box
        pen.rectangle((x, y, x + width, y + height), outline=label.colour, width=line)
    for one in placed:
        _write(pen, one.text, one.area[:2], one.font_size, one.label.colour)
    return _with_legend(picture, numbered) if numbered else picture


def _with_legend(picture: Image.Image, numbered: list[PlacedLabel]) -> Image.Image:
    """The picture with a strip below it that has the texts of the numbers."""
    font_size = max(10.0, 0.014 * max(picture.size))
    at, across, down = [], 0.0, picture.height + font_size / 2
    texts = [f"{one.number} {one.label.text}" for one in numbered]
    for text in texts:
        width, height = _measured(text, font_size)
        if across and across + width > picture.width:
            across, down = 0.0, down + height + font_size / 4
        at.append((across, down))
        across += width + font_size / 2
    longer = Image.new("RGB", (picture.width, round(down + 2.5 * font_size)), "white")
    longer.paste(picture, (0, 0))
    pen = ImageDraw.Draw(longer)
    for text, corner, one in zip(texts, at, numbered, strict=True):
        _write(pen, text, corner, font_size, one.label.colour)
    return longer


def _write(pen: ImageDraw.ImageDraw, text: str, corner: tuple[float, float], font_size: float, colour: str) -> None:
    """Write a text on a ground of that colour, which begins at the corner."""
    left, top, _, _ = _font(font_size).getbbox(text)
    across, down = _measured(text, font_size)
    pen.rectangle((*corner, corner[0] + across, corner[1] + down), fill=colour)
    start = corner[0] + font_size / 4 - left, corner[1] + font_size / 4 - top
    pen.text(start, text, fill=ink_on(colour), font=_font(font_size))


def _measured(text: str, font_size: float) -> tuple[float, float]:
    """Width and height of a text with the ground that it is written on."""
    left, top, right, bottom = _font(font_size).getbbox(text)
    return right - left + font_size / 2, bottom - top + font_size / 2


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont:
    return cast(ImageFont.FreeTypeFont, ImageFont.load_default(size))  # another one only where Pillow lacks FreeType
