"""Each face as a small picture in a folder of its emotion, for a person to look through and to put right."""

import json
import os
import zlib
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from batch.faults import TransientError
from batch.images.decode import read_picture
from batch.names import from_text
from batch.outcome import Box, ImageError, Key
from batch.pictures.annotated import AnnotatedFace, AnnotatedImage
from batch.roots import image_source, picture_place
from batch.roots.root import Version
from batch.tables.files import NoPicture, write_picture, writing

_LARGEST = 256
"""Side of a crop at most, in pixels: enough for a person, and more than the CNN takes."""
_MARK = "emotion-annotate"
"""Keyword of the text in a crop (PNG, tEXt) that says of what it is."""
_BETWEEN, _LONGEST = "__", 200
"""What stands for the slashes of a path in a file name, and how many bytes such a name has at most."""


class _Mark(NamedTuple):
    """Of which photograph, by a hash of its name, and of which face a crop is, and the folder it was written to."""

    photograph: str
    version: Version
    box: Box
    folder: str


class CropFiles:
    """Writes crops as FOLDER/EMOTION/NAME.FACE.png, NAME being the photograph's path below ``parent``.

    What ``annotate-train emotions FOLDER`` reads, which shrinks them itself. There is a folder for each label, also if
    it stays empty, and none below. A crop that somebody has moved to another of FOLDER's folders is left alone; one
    that lies where it was written is replaced if the photograph, or the box, is another one by now, and goes if there
    is no such face any more.
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
        """Whether a face of the image has no crop in any folder, or that of another photograph or box."""
        return any(self._is_due(image, face) for face in image.faces) or any(self._needless(image))

    def write(self, image: AnnotatedImage) -> None:
        """Write the crops that are due, in colour; raises OutputError.

        And NoPicture where the crop of another photograph of that name lies, as of another run's.
        """
        for needless in self._needless(image):
            with writing(needless):
                needless.unlink(missing_ok=True)
        due = [face for face in image.faces if self._is_due(image, face)]
        if not due:
            return
        smallest = min(max(face.box.width, face.box.height) for face in due)
        try:
            picture, scale = read_picture(
                image_source(image.key, image.version), least=min(1.0, _LARGEST / max(1, smallest))
            )
        except (ImageError, TransientError):  # gone or changed since it was annotated; the next run sees to it
            return
        for face in due:
            name, old = self._name(image.key, face.number), self._lying(image.key, face.number)
            if old and (mark := _mark_of(old)) and _is_anothers(mark, image):
                raise NoPicture(f"{old} is of another photograph of that name. Name another folder for these crops")
            new = self._folders[face.label] / name
            text, crop = PngInfo(), cut_square(picture, face.box, scale)
            box = Box(*map(float, face.box))
            text.add_text(_MARK, json.dumps(_Mark(_hashed(image.key), image.version, box, new.parent.name)))
            write_picture(new, partial(crop.save, format="png", pnginfo=text))
            if old and old != new:
                with writing(old):
                    old.unlink(missing_ok=True)

    def _is_due(self, image: AnnotatedImage, face: AnnotatedFace) -> bool:
        old = self._lying(image.key, face.number)
        mark = _mark_of_before(image, old) if old else None
        return old is None or (mark is not None and (mark.version, mark.box) != (image.version, face.box))

    def _needless(self, image: AnnotatedImage) -> Iterator[Path]:
        """Crops, where they were written, of faces that the photograph had before it was changed."""
        for number in count(len(image.faces)):
            old = self._lying(image.key, number)
            if old is None:
                return
            mark = _mark_of_before(image, old)
            if mark and mark.photograph == _hashed(image.key):
                yield old

    def _lying(self, key: Key, number: int) -> Path | None:
        """The crop of that face, in whatever folder it lies."""
        name = self._name(key, number)
        return next((place / name for place in self._places if os.path.lexists(place / name)), None)

    def _name(self, key: Key, number: int) -> str:
        return f"{flat_name(picture_place(key).relative_to(self._parent))}.{number}.png"


def _mark_of_before(image: AnnotatedImage, crop: Path) -> _Mark | None:
    """What a crop says of itself that lies where it was written, before the image was annotated."""
    try:
        is_older = os.lstat(crop).st_mtime < image.annotated_at.timestamp()
    except OSError:  # gone meanwhile
        return None
    mark = _mark_of(crop) if is_older else None
    return mark if mark and mark.folder == crop.parent.name else None


def _mark_of(crop: Path) -> _Mark | None:
    """What a crop says of itself; None for one of before they did, or that is no picture any more."""
    try:
        with Image.open(crop, formats=("PNG",)) as picture:
            photograph, version, box, folder = json.loads(picture.info[_MARK])
            return _Mark(photograph, tuple(version), Box(*box), folder)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError):
        return None


def _is_anothers(mark: _Mark, image: AnnotatedImage) -> bool:
    """Whether it is of a photograph of another name, and not of this one under its name of before."""
    return mark.photograph != _hashed(image.key) and mark.version != image.version


def _hashed(key: Key) -> str:
    """A photograph's name, so that a crop that is given away does not tell it."""
    return sha256("\0".join(key).encode()).hexdigest()[:16]


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
