"""Each face as a small picture in a folder of its emotion, for a person to look through and to put right."""

import os
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from batch.faults import TransientError
from batch.images.decode import read_picture
from batch.names import from_text
from batch.outcome import Box, ImageError, Key
from batch.pictures.annotated import AnnotatedFace, AnnotatedImage
from batch.roots import image_source, picture_place
from batch.tables.files import write_picture, writing

_LARGEST = 256
"""Side of a crop at most, in pixels: enough for a person, and more than the CNN takes."""
_BETWEEN, _LONGEST = "__", 200
"""What stands for the slashes of a path in a file name, and how many bytes such a name has at most."""


class CropFiles:
    """Writes crops as FOLDER/EMOTION/NAME.FACE.png, NAME being the photograph's path below ``parent``.

    What ``annotate-train emotions FOLDER`` reads, which shrinks them itself. There is a folder for each label, also if
    it stays empty, and none below. A crop that lies in any of FOLDER's folders is left alone: somebody may have moved
    it.
    """

    def __init__(self, folder: Path, parent: Path, labels: tuple[str, ...]) -> None:
        """Make the folders; raises OutputError."""
        self._parent = parent
        self._folders = [folder / from_text(label) for label in labels]
        with writing(folder):
            for one in self._folders:
                one.mkdir(parents=True, exist_ok=True)
            self._places = [place for place in folder.iterdir() if place.is_dir()]

    def are_due(self, image: AnnotatedImage) -> bool:
        """Whether a face of the image has no crop in any folder."""
        return any(not self._lies_there(self._name(image.key, face)) for face in image.faces)

    def write(self, image: AnnotatedImage) -> None:
        """Write the crops that lie nowhere yet, in colour; raises NoPicture or OutputError."""
        smallest = min(max(face.box.width, face.box.height) for face in image.faces)
        try:
            picture, scale = read_picture(
                image_source(image.key, image.version), least=min(1.0, _LARGEST / max(1, smallest))
            )
        except (ImageError, TransientError):  # gone or changed since it was annotated; the next run sees to it
            return
        for face in image.faces:
            name = self._name(image.key, face)
            if not self._lies_there(name):
                crop = cut_square(picture, face.box, scale)
                write_picture(self._folders[face.label] / name, partial(crop.save, format="png"))

    def _lies_there(self, name: str) -> bool:
        return any(os.path.lexists(place / name) for place in self._places)

    def _name(self, key: Key, face: AnnotatedFace) -> str:
        return f"{flat_name(picture_place(key).relative_to(self._parent))}.{face.number}.png"


def flat_name(path: Path) -> str:
    """A relative path as one file name, which no other path has: checked by a hash where it is not told by itself."""
    name = _BETWEEN.join(path.parts)
    told = not any(_BETWEEN in part for part in path.parts) and len(os.fsencode(name)) <= _LONGEST
    if told:
        return name
    tail = os.fsdecode(os.fsencode(name)[-_LONGEST:]).lstrip("".join(map(chr, range(0xDC80, 0xDD00))))
    return f"{zlib.crc32(os.fsencode(str(path))):08x}{_BETWEEN}{tail}"


def cut_square(picture: Image.Image, box: Box, scale: float) -> Image.Image:
    """The square around a box's centre, at 256 pixels at most; ``scale`` is the picture's against the box's.

    Its side is the box's longer side. Pixels beyond the border repeat the border's, as in what the CNN sees.
    """
    side = max(1, round(max(box.width, box.height) * scale))
    left = round((box.x + box.width / 2) * scale - side / 2)
    top = round((box.y + box.height / 2) * scale - side / 2)
    columns = np.clip(np.arange(left, left + side), 0, picture.width - 1)
    rows = np.clip(np.arange(top, top + side), 0, picture.height - 1)
    square = Image.fromarray(np.asarray(picture)[np.ix_(rows, columns)])
    return square if side <= _LARGEST else square.resize((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
