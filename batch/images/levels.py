"""Deep gray levels as eight bits."""

from collections.abc import Iterator

import numpy as np
from PIL import Image

_AT_ONCE = 2**22
"""Pixels of deep levels that are turned to eight bits at a time."""


def eight_bits(image: Image.Image) -> np.ndarray:
    """Scale deep gray levels to 0-255: integers by the number of bits in use, floating point from its range.

    Some rows at a time, since the numbers of a whole image take many times the bytes of its gray levels.
    """
    ranges = [(levels.min(), levels.max()) for levels in _strips(image)]
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    gray = np.empty((image.height, image.width), np.uint8)
    row = 0
    for levels in _strips(image):
        if levels.dtype.kind == "f":
            scaled = (levels - low) * (255 / (high - low) if high > low else 0)
        else:
            scaled = levels >> (max(8, int(high).bit_length()) - 8)
        gray[row : row + len(levels)] = scaled
        row += len(levels)
    return gray


def _strips(image: Image.Image) -> Iterator[np.ndarray]:
    """The levels of some rows at a time: as float64 without what is no number, or as int64 from 0 on."""
    rows = max(1, _AT_ONCE // max(1, image.width))
    for top in range(0, image.height, rows):
        levels = np.asarray(image.crop((0, top, image.width, min(top + rows, image.height))))
        if levels.dtype.kind == "f":
            yield np.nan_to_num(levels.astype(np.float64), posinf=0, neginf=0)
        else:
            yield np.maximum(levels.astype(np.int64), 0)
