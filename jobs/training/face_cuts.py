"""Faces of labelled photographs, cut as ``annotate`` cuts them."""

from pathlib import Path

import numpy as np

from batch.detection.crop import CROP_SIZE, PATCH_SIZE, crop_faces, cut_patches
from batch.images.decode import read_photograph
from batch.outcome import ImageError

_MOST_PIXELS = 200_000_000
_FULL_SIZE = 10**6


def cut_face(photograph: Path, box: tuple[float, ...]) -> np.ndarray:
    """The face with that box (x, y, width, height) of the upright photograph, its surroundings around it -> (72, 72).

    The crop in the middle is the one that ``annotate`` labels. Raises ValueError if the photograph cannot be read.
    """
    try:
        gray = read_photograph(photograph, _MOST_PIXELS, _FULL_SIZE).gray
    except ImageError as error:
        raise ValueError(error.reason) from error
    boxes = np.array([box])
    image, margin = cut_patches(gray, boxes)[0], (PATCH_SIZE - CROP_SIZE) // 2
    image[margin:-margin, margin:-margin] = crop_faces(gray, boxes)[0]
    return np.asarray(image)
