"""Labelled image files: from their paths and the names of their classes to crops."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from model.data.crops import CROP_SIZE, LabelledCrops, hard_labelled
from model.errors import DataError
from model.labels import EMOTIONS, describe, label_index
from model.progress import counted

log = logging.getLogger("annotate.train")

_THREADS = 4
IMAGE_SIZE = 72
"""Side of what is kept of a face, in pixels: the crop in the middle and half as much again around it."""

Cut = Callable[[Path, tuple[float, ...]], np.ndarray]
"""Cuts the face with that box (x, y, width, height) out of a photograph -> (72, 72) uint8, the crop in the middle.

Raises OSError or ValueError if the photograph cannot be read.
"""
_UNREADABLE = (OSError, UnidentifiedImageError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
"""What Pillow raises for a file that is no image, or a damaged one."""


@dataclass(frozen=True)
class LabelledFile:
    """An image file, the class it belongs to as its data set calls it, and the part of which data set it is in."""

    path: Path
    name: str
    part: str
    source: str
    box: tuple[float, ...] | None = None
    """x, y, width and height of the face in a photograph, None if the image is the face."""


def read_crop(path: Path) -> np.ndarray:
    """Read an image file as a gray crop (48, 48) uint8, upright by its EXIF orientation.

    Of an image that is not square the middle is taken, so that faces keep their proportions. Raises one of Pillow's
    errors if the file cannot be read.
    """
    with Image.open(path) as image:
        image.draft("L", (2 * CROP_SIZE, 2 * CROP_SIZE))  # lets JPEG shrink while it decodes
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith(("I", "F")):
            return _from_deep(upright)
        return np.asarray(ImageOps.fit(upright.convert("L"), (CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC))


def _from_deep(image: Image.Image) -> np.ndarray:
    """Pillow cuts gray levels beyond 255 off; 16 bits are scaled down instead."""
    levels = np.asarray(image, dtype="float32")
    scaled = Image.fromarray(levels / 257 if levels.max(initial=0) > 255 else levels)
    fitted = ImageOps.fit(scaled, (CROP_SIZE, CROP_SIZE), Image.Resampling.BICUBIC)
    return np.asarray(np.clip(np.rint(np.asarray(fitted)), 0, 255), dtype=np.uint8)


def find_labels(names: Iterable[str], labels: tuple[str, ...] | None, source: Path) -> tuple[str, ...]:
    """The labels of a data set with classes called ``names``: those given, else the emotions that occur.

    Raises DataError naming the known labels if a class is none of them.
    """
    classes = sorted(set(names))
    known = labels or EMOTIONS
    unknown = [name for name in classes if label_index(name, known) is None]
    if unknown:
        fix = "" if labels else f", or train on this data's own labels: --labels {','.join(classes)}"
        raise DataError(
            f"{source}: unknown class {', '.join(map(repr, unknown))}. Known: {describe(known)}. "
            f"Rename or remove it{fix}"
        )
    occurring = {label_index(name, known) for name in classes}
    return labels or tuple(label for index, label in enumerate(EMOTIONS) if index in occurring)


def read_files(
    files: Sequence[LabelledFile], labels: tuple[str, ...], cut: Cut | None = None
) -> dict[str, LabelledCrops]:
    """Read the files into one set per part; those that cannot be read are logged and left out.

    The images are (72, 72): around a crop without a photograph its border is repeated. Raises DataError if none can be
    read.
    """
    if cut is None and any(file.box for file in files):
        raise DataError(f"{files[0].path}: a table with boxes needs the photographs' reader, which is not given here.")
    with ThreadPoolExecutor(_THREADS) as pool:
        crops = list(counted(pool.map(lambda file: _image_or_none(file, cut), files), len(files), "reading images"))
    read = [(file, crop) for file, crop in zip(files, crops, strict=True) if crop is not None]
    if not read:
        raise DataError(f"{files[0].source}: none of its files could be read as an image, of {len(files)}.")
    if len(read) < len(files):
        log.warning("left out, as they could not be read: %d of %d files", len(files) - len(read), len(files))
    images = np.stack([crop for _, crop in read])
    truth = np.array([label_index(file.name, labels) for file, _ in read], dtype=int)
    parts = np.array([file.part for file, _ in read], dtype=object)
    everything = hard_labelled(images, truth, labels)
    return {part: everything.take(parts == part) for part in dict.fromkeys(file.part for file in files)}


def with_border(crops: np.ndarray) -> np.ndarray:
    """Crops (N, 48, 48) in the middle of images (N, 72, 72), their borders repeated around them."""
    margin = (IMAGE_SIZE - CROP_SIZE) // 2
    return np.pad(crops, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def _image_or_none(file: LabelledFile, cut: Cut | None) -> np.ndarray | None:
    try:
        if file.box and cut:
            return cut(file.path, file.box)
        return np.asarray(with_border(read_crop(file.path)[None])[0])
    except _UNREADABLE as error:
        log.warning("left out %s: %s", file.path, str(error) or type(error).__name__)
        return None
