"""Windows for the detector's training: the faces are where the boxes say, at many scales."""

import cv2
import numpy as np
import pytest

from jobs.training.windows import FACE, IGNORED, cut_window

SIDE = 128


@pytest.fixture
def photograph() -> tuple[np.ndarray, np.ndarray]:
    """A dark photograph with two bright rectangles for faces."""
    gray = np.full((300, 400), 40, np.uint8)
    faces = np.array([[60, 80, 45, 60], [250, 150, 30, 40]], float)
    for x, y, width, height in faces.astype(int):
        gray[y : y + height, x : x + width] = 220
    return gray, faces


def test_boxes_sit_on_the_faces_at_every_scale(photograph: tuple[np.ndarray, np.ndarray]) -> None:
    heights = []
    for seed in range(200):
        window = cut_window(*photograph, SIDE, None, np.random.default_rng(seed))
        assert window.pixels.shape == (SIDE, SIDE)
        assert window.pixels.dtype == np.uint8
        for left, top, right, bottom, kind in window.faces:
            assert 0 <= left < right <= SIDE
            assert 0 <= top < bottom <= SIDE
            if kind != FACE:
                continue
            heights.append(bottom - top)
            inner = window.pixels[int(top + 3) : int(bottom - 3), int(left + 3) : int(right - 3)]
            around = cv2.copyMakeBorder(window.pixels, 9, 9, 9, 9, cv2.BORDER_REPLICATE)
            outer = around[int(top) : int(bottom + 18), int(left) : int(right + 18)]
            if min(left, top, SIDE - right, SIDE - bottom) > 9:
                rim = (outer.sum(dtype=float) - window.pixels[int(top) : int(bottom), int(left) : int(right)].sum()) / (
                    outer.size - int(bottom - top) * int(right - left)
                )
                assert inner.mean() > rim + 15
    assert min(heights) < 24
    assert max(heights) > 80


def test_small_and_cut_faces_are_not_asked_for() -> None:
    gray = np.full((400, 400), 90, np.uint8)
    small = np.array([[200.0, 200.0, 9.0, 12.0]])
    kinds = {
        kind
        for seed in range(40)
        for kind in cut_window(gray, small, SIDE, None, np.random.default_rng(seed)).faces[:, 4]
        if len(cut_window(gray, small, SIDE, None, np.random.default_rng(seed)).faces)
    }
    assert kinds == {FACE, IGNORED}
    for seed in range(40):
        for _, top, _, bottom, kind in cut_window(gray, small, SIDE, None, np.random.default_rng(seed)).faces:
            assert (kind == FACE) == (bottom - top >= 16)


def test_a_window_depends_on_its_seed_alone(photograph: tuple[np.ndarray, np.ndarray]) -> None:
    further = np.full((3, 48, 48), 250, np.uint8)
    one, same, other = (cut_window(*photograph, SIDE, further, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert (one.pixels == same.pixels).all()
    assert (one.faces == same.faces).all()
    assert (one.pixels != other.pixels).any()


def test_pasted_faces_are_found_where_nothing_is() -> None:
    gray, further = np.full((400, 400), 30, np.uint8), np.full((3, 48, 48), 250, np.uint8)
    pasted = 0
    for seed in range(60):
        window = cut_window(gray, np.zeros((0, 4)), SIDE, further, np.random.default_rng(seed))
        for left, top, right, bottom, kind in window.faces:
            pasted += 1
            assert kind == FACE
            middle = window.pixels[int(top + bottom) // 2, int(left + right) // 2]
            assert middle > np.median(window.pixels) + 30 or window.pixels.mean() > 128
    assert 10 < pasted < 100
