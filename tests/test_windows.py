"""Windows for the detector's training: the faces are where the boxes say, at many scales."""

from typing import Any

import cv2
import numpy as np
import pytest

from jobs.training.windows import FACE, IGNORED, _draw_place, _paste, _resampled, _varied, cut_window

SIDE = 128
NOTHING = np.zeros((0, 4))


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
        window = cut_window(*photograph, NOTHING, SIDE, None, np.random.default_rng(seed))
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
        for kind in cut_window(gray, small, NOTHING, SIDE, None, np.random.default_rng(seed)).faces[:, 4]
        if len(cut_window(gray, small, NOTHING, SIDE, None, np.random.default_rng(seed)).faces)
    }
    assert kinds == {FACE, IGNORED}
    for seed in range(40):
        for _, top, _, bottom, kind in cut_window(gray, small, NOTHING, SIDE, None, np.random.default_rng(seed)).faces:
            assert (kind == FACE) == (bottom - top >= 16)


def test_a_window_depends_on_its_seed_alone(photograph: tuple[np.ndarray, np.ndarray]) -> None:
    further = np.full((3, 48, 48), 250, np.uint8)
    one, same, other = (
        cut_window(*photograph, NOTHING, SIDE, further, np.random.default_rng(seed)) for seed in (5, 5, 6)
    )
    assert (one.pixels == same.pixels).all()
    assert (one.faces == same.faces).all()
    assert (one.pixels != other.pixels).any()


def test_pasted_faces_are_found_where_nothing_is() -> None:
    gray, further = np.full((400, 400), 30, np.uint8), np.full((3, 48, 48), 250, np.uint8)
    pasted = 0
    for seed in range(60):
        window = cut_window(gray, NOTHING, NOTHING, SIDE, further, np.random.default_rng(seed))
        for left, top, right, bottom, kind in window.faces:
            pasted += 1
            assert kind == FACE
            middle = window.pixels[int(top + bottom) // 2, int(left + right) // 2]
            assert middle > np.median(window.pixels) + 30 or window.pixels.mean() > 128
    assert 10 < pasted < 100


def test_what_was_mistaken_for_a_face_is_shown_more_often() -> None:
    """In a photograph that is white there and dark elsewhere; and it is no face."""
    gray, mistaken = np.full((900, 900), 20, np.uint8), np.array([[700.0, 100.0, 30.0, 30.0]])
    gray[100:130, 700:730] = 255
    seen = []
    for boxes in (NOTHING, mistaken):
        windows = [cut_window(gray, NOTHING, boxes, SIDE, None, np.random.default_rng(seed)) for seed in range(300)]
        assert not any(len(window.faces) for window in windows)
        bright = (float(window.pixels.max()) - float(np.median(window.pixels)) > 90 for window in windows)
        seen.append(sum(bright))
    assert seen[1] > seen[0] + 20


class Drawn:
    """Draws what it is told to, and remembers between what limits."""

    def __init__(self, *values: Any) -> None:
        self.values, self.limits = list(values), []

    def integers(self, *limits: int) -> Any:
        """The next value."""
        self.limits.append(limits)
        return self.values.pop(0)

    uniform = normal = integers

    def random(self, *_: int) -> Any:
        """The next value, whose limits are 0 and 1."""
        return self.values.pop(0)


def test_a_face_is_pasted_softly_where_it_is_said_to_be() -> None:
    """By hand: side 40 with its corner at (10, 20); an oval of 0.95 of the width whose edge blends over a tenth."""
    pixels, further = np.full((100, 100), 50, np.uint8), np.stack([np.full((48, 48), v, np.uint8) for v in (0, 200)])
    rng = Drawn(1, 1, np.log(40.4), np.array([10, 20]), 0.1)
    faces = _paste(pixels, np.zeros((0, 5)), further, rng)
    assert rng.limits == [(1, 4), (2,), (pytest.approx(np.log(16)), pytest.approx(np.log(60))), (0, 61, 2), (0.05, 0.3)]
    assert faces[0] == pytest.approx([30 - 0.81 * 20, 40 - 1.08 * 20, 30 + 0.81 * 20, 40 + 1.08 * 20, FACE])
    expected = np.full((100, 100), 50)
    for row in range(40):
        for column in range(40):
            x, y = (column + 0.5 - 20) / 20, (row + 0.5 - 20) / 20
            share = np.clip((1 - np.hypot(x / 0.95, y)) / 0.1, 0, 1)
            expected[20 + row, 10 + column] = np.round(200 * share + 50 * (1 - share))
    assert np.abs(pixels - expected).max() <= 1  # where a half is rounded
    assert (pixels[20:60, 10:50] > 50).any() and len(np.unique(pixels)) > 20


def test_no_face_is_pasted_over_another() -> None:
    """One that reaches into another is left out, one beside it and one above it are not; boxes end at the border."""
    there = np.array([[46.2, 20.0, 60.0, 60.0, FACE]])  # where the pasted one of the test above ends
    further = np.full((1, 48, 48), 200, np.uint8)
    for moved, pasted in ((0.0, 1), (-0.5, 0)):
        pixels = np.full((100, 100), 50, np.uint8)
        faces = _paste(
            pixels, there + np.array([moved, 0, 0, 0, 0]), further, Drawn(1, 0, np.log(40), np.array([10, 20]), 0.1)
        )
        assert (len(faces) - 1, bool((pixels != 50).any())) == (pasted, bool(pasted))
    overlapped, free = np.array([20, 20]), np.array([2, 20])
    draws = Drawn(2, 0, np.log(40), overlapped, 0, np.log(40), free, 0.1)
    assert len(_paste(np.full((100, 100), 50, np.uint8), there, further, draws)) == 2
    [corner] = _paste(
        np.zeros((100, 100), np.uint8), there[:0], further, Drawn(1, 0, np.log(40), np.array([0, 60]), 0.1)
    )
    assert corner[1:4] == pytest.approx([58.4, 36.2, 100])


def test_pasted_faces_keep_their_details() -> None:
    """Shrunk by averages, enlarged by cubic curves, as OpenCV does it."""
    crop = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    for side, kind in ((24, cv2.INTER_AREA), (96, cv2.INTER_CUBIC)):
        pixels = np.full((200, 200), 50, np.uint8)
        _paste(pixels, np.zeros((0, 5)), crop[None], Drawn(1, 0, np.log(side), np.array([0, 0]), 0.1))
        middle = slice(side // 4, 3 * side // 4)
        assert np.array_equal(
            pixels[middle, middle], cv2.resize(crop, (side, side), interpolation=kind)[middle, middle]
        )


def test_windows_are_resampled_as_opencv_resizes() -> None:
    """At one pixel for one they are cut out, enlarged as cv2.resize does; a ramp is what it is at each middle."""
    gray = np.random.default_rng(0).integers(0, 256, (60, 60), np.uint8)
    assert np.array_equal(_resampled(gray, np.array([3.0, 5.0]), np.ones(2), 32), gray[5:37, 3:35])
    for scale in (1.25, 1.6):
        found = _resampled(gray, np.zeros(2), np.array([scale, scale]), 48).astype(int)
        theirs = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)[:48, :48]
        assert np.abs(found - theirs)[2:, 2:].mean() < 1
    ramp = np.tile((4 * np.arange(60)).astype(np.uint8), (60, 1))
    for scale in (0.5, 0.4):
        for levels, corner in ((ramp, 4.0), (ramp.T, 8.0)):
            found = _resampled(levels, np.array([4.0, 8.0]), np.array([scale, scale]), 20)
            line = found[10] if levels is ramp else found[:, 10]
            assert line == pytest.approx(4 * (corner + (np.arange(20) + 0.5) / scale - 0.5), abs=1.2)


def test_a_window_around_a_face_shows_it_as_large_as_is_drawn() -> None:
    """By hand: 800 x 400 pixels, a window of 100; a face 40 high is to be 20 high, and is moved."""
    gray, faces = np.zeros((400, 800), np.uint8), np.array([[9.0, 9, 9, 9], [100, 50, 30, 90], [200, 100, 30, 40]])
    rng = Drawn(0.25, 1, np.log(20), np.log([1.0, 1.25]), np.array([0.5, 0.75]))
    scale, corner = _draw_place(gray, faces, NOTHING, 100, rng)
    assert scale == pytest.approx([0.5, 0.625])
    assert rng.limits == [(2,), (pytest.approx(np.log(16)), pytest.approx(np.log(80))), (-0.1, 0.1, 2)]
    room = 100 / scale - [30, 40]
    assert corner == pytest.approx([200 - room[0] / 2, 100 - room[1] / 2 + 0.25 * room[1]])


@pytest.mark.parametrize(
    ("height", "wanted", "expected"),
    [(40.0, 60.0, 1.5), (40.0, 72.0, 1.6), (390.0, 16.0, 0.7 / 8)],  # at most 1.6; at least 0.7 of the whole
)
def test_windows_are_neither_enlarged_nor_shrunk_without_end(height: float, wanted: float, expected: float) -> None:
    """A photograph is at least 0.7 of a window long, and none is enlarged by more than 1.6."""
    gray, face = np.zeros((400, 800), np.uint8), np.array([[5.0, 5, 30, height]])
    rng = Drawn(0.9, 0, np.log(wanted), np.zeros(2), np.array([0.5, 0.5]))
    assert _draw_place(gray, face, NOTHING, 100, rng)[0] == pytest.approx([expected, expected])


def test_a_window_anywhere_lies_between_the_whole_photograph_and_its_pixels() -> None:
    """A fourth of them, and all where no face is large enough; at the border they stay inside where there is room."""
    gray, faces = np.zeros((400, 800), np.uint8), np.array([[9.0, 9, 9, 9], [100, 50, 30, 90]])
    rng = Drawn(0.24, np.array([0.5, 0.99]), np.log(0.5), np.zeros(2), np.array([0.5, 0.5]))
    scale, corner = _draw_place(gray, faces, NOTHING, 100, rng)
    assert (scale.tolist(), corner.tolist()) == ([0.5, 0.5], [300, 200])
    assert rng.limits[0] == (pytest.approx(np.log(1 / 8)), 0)
    rng = Drawn(np.array([0.5, 0.5]), 0.0, np.zeros(2), np.array([0.0, 1.0]))
    scale, corner = _draw_place(gray, faces[:1], NOTHING, 1000, rng)  # all of it, with room around
    assert rng.limits[0] == (0.0, 0)
    assert corner.tolist() == [-200, 0]


def test_what_was_mistaken_is_shown_in_its_share_of_windows() -> None:
    """At 0.14 of the draws it is, whether there are faces or not; at 0.15 the faces' turn comes."""
    gray, face, wrong = (
        np.zeros((400, 800), np.uint8),
        np.array([[100.0, 50, 30, 90]]),
        np.array([[600.0, 300, 50, 50]]),
    )
    middle = np.array([0.5, 0.5])
    scale, corner = _draw_place(gray, face, wrong, 100, Drawn(0.14, 0, np.log(50), np.zeros(2), middle))
    assert corner + 50 / scale == pytest.approx([625, 325])
    scale, corner = _draw_place(gray, face, wrong, 100, Drawn(0.15, 0.5, 0, np.log(90), np.zeros(2), middle))
    assert corner + 50 / scale == pytest.approx([115, 95])


def test_exposure_and_contrast_by_hand() -> None:
    """A power of the level, spread around a half, and shifted; nothing else where the draws are 0.15 or more."""
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    rng = Drawn(np.log(1.2), np.log(0.7), 0.1, 0.15, 0.15, 0.15)
    found = _varied(pixels, rng)
    assert rng.limits == [(-0.4, 0.4), (-0.5, 0.25), (-0.15, 0.15)]
    levels = ((np.arange(256) / 255) ** 1.2 - 0.5) * 0.7 + 0.6
    assert found.reshape(-1).tolist() == np.clip(np.round(levels * 255), 0, 255).tolist()


def test_blur_noise_and_jpeg_by_hand() -> None:
    """Each with a chance of 0.15, in this order, as OpenCV does them."""
    pixels = np.random.default_rng(0).integers(60, 200, (32, 32), np.uint8)
    speckles = np.random.default_rng(1).normal(0, 5, (32, 32))
    rng = Drawn(0.0, 0.0, 0.0, 0.14, 1.1, 0.14, 5, speckles, 0.14, 35)
    blurred = cv2.GaussianBlur(pixels, (0, 0), 1.1)
    noisy = np.clip(np.round(blurred + speckles), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 35])[1]
    assert np.array_equal(_varied(pixels, rng), cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    assert rng.limits[3:] == [(0.4, 1.5), (2, 10), (0, 5, (32, 32)), (20, 70)]
