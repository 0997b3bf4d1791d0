"""Faces cut out of photographs."""

import numpy as np
import pytest
from conftest import astronaut

from batch.detection.crop import crop_faces, crop_from_patch, cut_patches, verifier_crops

GRAY = np.asarray(astronaut().convert("L"))
FACE = np.array([170.0, 65.0, 110.0, 110.0])


@pytest.mark.parametrize(("dx", "dy", "grown"), [(0, 0, 1), (9, -7, 1), (-8, 5, 1.15), (4, 4, 0.85), (0, 0, 1.4)])
def test_face_from_a_patch_is_the_face_from_the_photograph(dx: float, dy: float, grown: float) -> None:
    """Cut out of the patch around a box close by, a face looks as if it were cut out of the photograph."""
    face = FACE * [1, 1, grown, grown] + np.array([dx, dy, 0, 0])
    (expected,) = crop_faces(GRAY, face[None]).astype(float)
    cut = crop_from_patch(cut_patches(GRAY, FACE[None])[0], FACE, face).astype(float)
    assert np.corrcoef(expected.ravel(), cut.ravel())[0, 1] > 0.98
    assert 0.8 < sharpness(cut) / sharpness(expected) < 1.2


def sharpness(crop: np.ndarray) -> float:
    return float(np.std(np.diff(crop, axis=0)) + np.std(np.diff(crop, axis=1)))


def test_verifier_sees_the_box_in_the_middle() -> None:
    """The middle two thirds of what the verifier sees are the box."""
    (seen,) = verifier_crops(cut_patches(GRAY, FACE[None])).astype(float)
    (half,) = crop_faces(GRAY, FACE[None]).astype(float)
    middle = seen[8:40, 8:40]
    small = half.reshape(16, 3, 16, 3).mean(axis=(1, 3))
    assert np.corrcoef(middle.reshape(16, 2, 16, 2).mean(axis=(1, 3)).ravel(), small.ravel())[0, 1] > 0.99


def test_border_is_repeated() -> None:
    """Beyond the photograph its last pixels go on, in crops and patches; no box at all gives none."""
    corner = np.array([[-60, -60, 120, 120]])
    crop, patch = crop_faces(GRAY, corner)[0], cut_patches(GRAY, corner)[0]
    assert (crop[:20, :20] == GRAY[0, 0]).all()
    assert (patch[:30, :30] == GRAY[0, 0]).all()
    assert crop_faces(GRAY, np.empty((0, 4))).shape == (0, 48, 48)
    assert verifier_crops(cut_patches(GRAY, np.empty((0, 4)))).shape == (0, 48, 48)
