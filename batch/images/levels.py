"""Gray levels of any image as eight bits, some rows at a time: what is between takes many times their bytes."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_AT_ONCE = 2**22
"""Pixels that are turned to gray levels at a time."""


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """The image in pieces of some rows, and which rows these are."""
    rows = max(1, _AT_ONCE // max(1, image.width))
    for top in range(0, image.height, rows):
        below = min(top + rows, image.height)
        yield slice(top, below), image.crop((0, top, image.width, below))


def eight_bits(image: Image.Image) -> np.ndarray:
    """Scale deep gray levels to 0-255: integers by the number of bits in use, floating point from its range."""
    ranges = [(levels.min(), levels.max()) for _, levels in _deep(image)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    gray = np.empty((image.height, image.width), np.uint8)
    for rows, levels in _deep(image):
        if levels.dtype.kind == "f":
            gray[rows] = (levels - low) * (255 / (high - low) if high > low else 0)
        else:
            gray[rows] = levels >> (max(8, int(high).bit_length()) - 8)
    return gray


def _deep(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:
    """The levels of some rows at a time: as float64 without what is no number, or as int64 from 0 on."""
    for rows, strip in strips(image):
        levels = np.asarray(strip)
        if levels.dtype.kind == "f":
            yield rows, np.nan_to_num(levels.astype(np.float64), posinf=0, neginf=0)
        else:
            yield rows, np.maximum(levels.astype(np.int64), 0)
