"""Copies of the photographs with their faces boxed, labelled and upright, for a person to look at."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from batch.faults import TransientError
from batch.images.decode import read_picture
from batch.outcome import FAILED, Box, Face, ImageError, Outcome
from batch.roots import image_source, picture_place
from batch.tables.files import write_picture

_COLOURS = ("#e69f00", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#dddddd")
"""Okabe and Ito's palette (2008), which most colour-blind people can tell apart; one per label, in turn."""
_WRITTEN_AS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
_QUALITY = 90


@dataclass(frozen=True)
class Label:
    """What is drawn of a face."""

    box: Box
    text: str
    colour: str


class DrawnCopies:
    """Writes FOLDER/PATH, PATH being the photograph's below ``parent``.

    Formats that people do not look at every day get ``.png`` behind their name.
    """

    def __init__(self, folder: Path, parent: Path, labels: tuple[str, ...]) -> None:
        self._folder, self._parent, self._labels = folder, parent, labels

    def write(self, outcome: Outcome) -> None:
        """Draw the faces of an outcome; raises OutputError.

        An image that could not be read has no copy; one without faces has one, so that it is seen what was missed.
        """
        if outcome.status in FAILED:
            return
        try:
            picture, _ = read_picture(image_source(outcome.found.key))
        except (ImageError, TransientError):  # gone or changed since it was annotated; the next run sees to it
            return
        draw_faces(picture, [self._label(face) for face in outcome.faces[::-1]])
        file = self._folder / picture_place(outcome.found.key).relative_to(self._parent)
        suffix = file.suffix.lower()
        if suffix not in _WRITTEN_AS:
            file = file.with_name(f"{file.name}.png")
        write_picture(file, partial(picture.save, format=_WRITTEN_AS.get(suffix, "PNG"), quality=_QUALITY))

    def _label(self, face: Face) -> Label:
        best = int(face.probabilities.argmax())
        text = f"{self._labels[best]} {100 * face.probabilities[best]:.0f} %"
        return Label(face.box, text, _COLOURS[best % len(_COLOURS)])


def draw_faces(picture: Image.Image, labels: list[Label]) -> None:
    """Draw boxes and labels into an RGB ``picture``, later ones over earlier ones, readable at any size of it."""
    pen, long_side = ImageDraw.Draw(picture), max(picture.size)
    line = max(1, round(long_side / 400))
    for label in labels:
        x, y, width, height = label.box
        pen.rectangle((x, y, x + width, y + height), outline=label.colour, width=line)
        size = min(max(0.22 * width, 0.014 * long_side, 10), max(0.03 * long_side, 10))
        font = ImageFont.load_default(size)
        left, top, right, bottom = pen.textbbox((0, 0), label.text, font=font)
        pad = size / 4
        across, down = right - left + 2 * pad, bottom - top + 2 * pad
        corner = min(max(0, x), max(0, picture.width - across)), y - down if y >= down else y + line
        pen.rectangle((*corner, corner[0] + across, corner[1] + down), fill=label.colour)
        pen.text((corner[0] + pad - left, corner[1] + pad - top), label.text, fill="black", font=font)
