"""Each way in which a variant differs from its image, by hand or as SciPy and Pillow have it."""

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from scipy import fft, ndimage

from model.training.augmentation import Draws, draw, paint, variants_sheet

SIZE = 48
TURN, SHEAR, SHIFT, STRETCH, ZOOM, NOISE_LEVELS = 20, 0.08, 0.12, 0.04, (0.75, 1.35), 6
NUMBERS = np.arange(400)


def still(count: int = 1) -> Draws:
    """Variants that change nothing."""
    return draw(0, np.arange(count), np.zeros(count, int))


def changed(image: np.ndarray, **changes: Any) -> np.ndarray:
    """One image (48, 48) painted with something other than nothing."""
    arrays = {name: np.asarray(value, "float32")[None] for name, value in changes.items()}
    return paint(image[None], replace(still(), **arrays))[0, ..., 0]


def textured(seed: int = 0) -> np.ndarray:
    """A smooth image (48, 48) with levels between 60 and 190."""
    levels = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE)), 2)
    return (125 + 60 * levels / np.abs(levels).max()).astype(np.uint8)


def test_the_variant_zero_is_the_image() -> None:
    """Without draws nothing changes, not even by rounding to blocks."""
    assert paint(textured()[None], still())[0, ..., 0] == pytest.approx(textured(), abs=0.01)


def test_contrast_turns_about_the_middle_gray_and_brightness_adds() -> None:
    image = textured().astype(float)
    assert changed(textured(), contrast=0.5) == pytest.approx(0.5 * (image - 128) + 128, abs=0.01)
    assert changed(textured(), brightness=20) == pytest.approx(image + 20, abs=0.01)
    assert changed(textured(), contrast=1.2, brightness=-5) == pytest.approx(1.2 * (image - 128) + 123, abs=0.01)
    assert changed(np.full((SIZE, SIZE), 250, np.uint8), brightness=30).max() == 255
    assert changed(np.full((SIZE, SIZE), 5, np.uint8), brightness=-30).min() == 0


def test_blur_is_binomial_and_mixed_in() -> None:
    """At 1 the image convolved with (1 4 6 4 1) / 16 both ways, at a half the mean of both."""
    image, kernel = textured().astype(float), np.array([1, 4, 6, 4, 1]) / 16
    expected = ndimage.convolve1d(ndimage.convolve1d(image, kernel, 0), kernel, 1)
    inner = np.s_[2:-2, 2:-2]
    assert changed(textured(), blur=1)[inner] == pytest.approx(expected[inner], abs=0.01)
    assert changed(textured(), blur=0.5)[inner] == pytest.approx((expected + image)[inner] / 2, abs=0.01)


def test_noise_is_added_and_a_hole_covers() -> None:
    noise = np.random.default_rng(0).normal(0, 5, (SIZE, SIZE, 1))
    assert changed(textured(), noise=noise) == pytest.approx(textured() + noise[..., 0], abs=0.01)
    expected = textured().astype(float)
    expected[10:20, 5:9] = 77
    assert changed(textured(), hole=[5, 10, 9, 20, 77]) == pytest.approx(expected, abs=0.01)


def test_jpeg_rounds_the_spectrum_of_each_block() -> None:
    """SciPy's orthonormal DCT of 8 x 8 blocks, rounded to steps that grow with the frequency."""
    step = 1.5 * (8 + 6 * np.add.outer(np.arange(8), np.arange(8)))
    expected = textured().astype(float) - 128
    for y in range(0, SIZE, 8):
        for x in range(0, SIZE, 8):
            block = np.s_[y : y + 8, x : x + 8]
            spectrum = fft.dctn(expected[block], norm="ortho")
            expected[block] = fft.idctn(np.round(spectrum / step) * step, norm="ortho")
    found = changed(textured(), jpeg=1.5)
    assert np.mean(np.abs(found - expected - 128) < 0.05) > 0.99  # but for a coefficient halfway between two steps
    assert np.abs(changed(textured(), jpeg=0.1) - textured()).max() < np.abs(found - textured()).max()


def test_affine_maps_go_from_the_variant_to_the_image() -> None:
    """Shifts, mirror images and turns as SciPy resamples them."""
    image = textured()
    assert changed(image, affine=[1, 0, 3, 0, 1, 0, 0, 0])[:, :-3] == pytest.approx(image[:, 3:], abs=0.01)
    assert changed(image, affine=[1, 0, 0, 0, 1, -4, 0, 0])[4:] == pytest.approx(image[:-4], abs=0.01)
    assert changed(image, affine=[-1, 0, SIZE - 1, 0, 1, 0, 0, 0]) == pytest.approx(image[:, ::-1], abs=0.01)
    (affine,) = draw(3, np.array([1]), np.array([2])).affine
    (a, b, c), (d, e, f) = affine[:3], affine[3:6]
    expected = ndimage.affine_transform(image.astype(float), [[e, d], [b, a]], (f, c), order=1, mode="nearest")
    assert changed(image, affine=affine) == pytest.approx(expected, abs=0.05)


def test_gamma_light_and_smallness() -> None:
    """A power of the level; a slope of light across and down; the image halved and enlarged again."""
    image = textured().astype(float)
    assert changed(textured(), gamma=1.5) == pytest.approx(255 * (image / 255) ** 1.5, abs=0.05)
    across, down = (changed(textured(), light=light) - image for light in ([40, 0], [0, 40]))
    assert across == pytest.approx(down.T, abs=0.01)
    assert np.ptp(across, axis=0).max() < 0.01
    assert np.diff(across[0]) == pytest.approx(np.full(SIZE - 1, np.diff(across[0])[0]), abs=0.01)
    assert across[0, -1] > 0 > across[0, 0]
    halved = image.reshape(24, 2, 24, 2).mean(axis=(1, 3))
    assert changed(textured(), small=1) == pytest.approx(cv2.resize(halved, (SIZE, SIZE)), abs=0.01)  # bilinear


def test_a_crop_with_its_surroundings_is_varied_about_its_middle() -> None:
    """The middle of a larger image as such, and what stands beside it where a variant reaches out."""
    wide = np.pad(textured(), 12, mode="reflect")
    assert paint(wide[None], still())[0, ..., 0] == pytest.approx(textured(), abs=0.01)
    shifted = replace(still(), affine=np.array([[1, 0, 5, 0, 1, -7, 0, 0]], "float32"))
    assert paint(wide[None], shifted)[0, ..., 0] == pytest.approx(wide[5:53, 17:65], abs=0.01)


def test_what_is_drawn_keeps_within_its_limits() -> None:
    """Half are mirrored; turns, shear, shift, zoom and stretch reach their largest, no further, about the centre."""
    affine = draw(0, NUMBERS, np.ones(len(NUMBERS), int)).affine
    linear, offset = affine[:, [0, 1, 3, 4]].reshape(-1, 2, 2), affine[:, [2, 5]]
    mirrored = np.linalg.det(linear) < 0
    assert 0.4 < mirrored.mean() < 0.6
    upright = linear @ np.where(mirrored[:, None, None], np.diag([-1, 1]), np.eye(2))
    angle = np.degrees(np.arctan2(upright[:, 1, 0], upright[:, 0, 0]))
    assert 0.8 * TURN < np.abs(angle).max() <= TURN + 0.01
    assert abs(angle.mean()) < TURN / 10
    zoom = np.sqrt(np.linalg.det(upright))
    low, high = sorted(ZOOM)
    assert low * (1 - STRETCH) <= zoom.min() < 1 < zoom.max() <= high * (1 + STRETCH)
    assert zoom.min() < low**0.75 and zoom.max() > high**0.75
    middle = linear @ np.full(2, (SIZE - 1) / 2) + offset - (SIZE - 1) / 2
    assert 0.8 * SHIFT * SIZE < np.abs(middle).max() <= 1.001 * SHIFT * SIZE
    turn = np.stack([np.cos(np.radians(angle)), -np.sin(np.radians(angle)),
                     np.sin(np.radians(angle)), np.cos(np.radians(angle))], 1).reshape(-1, 2, 2)  # fmt: skip
    stretched = np.linalg.inv(turn) @ upright
    shear = stretched[:, 0, 1] / stretched[:, 1, 1]
    assert 0.8 * SHEAR < np.abs(shear).max() <= 1.001 * SHEAR
    assert np.abs(stretched[:, 1, 0]).max() < 1e-5
    uneven = np.abs(np.log(stretched[:, 0, 0] / stretched[:, 1, 1]))
    assert STRETCH < uneven.max() <= np.log((1 + STRETCH) / (1 - STRETCH)) + 1e-5


def test_how_often_something_is_drawn() -> None:
    """Contrast and brightness always; gamma for 30 %, hole and light for 25 %, blur and JPEG for 15 %, noise for 10 %.

    What is drawn comes near its largest, and does not pass it.
    """
    draws = draw(0, NUMBERS, np.ones(len(NUMBERS), int))
    assert 0.7 <= draws.contrast.min() < 0.72 and 1.28 < draws.contrast.max() <= 1.3
    assert -30 <= draws.brightness.min() < -28 and 28 < draws.brightness.max() <= 30
    holes = draws.hole[:, 2] > draws.hole[:, 0]
    assert 0.18 < holes.mean() < 0.32
    sides = (draws.hole[:, 2:4] - draws.hole[:, :2])[holes]
    assert sides.min() >= 0.15 * SIZE and 0.38 * SIZE < sides.max() <= 0.401 * SIZE
    middles = draws.hole[holes, :2] + sides / 2
    assert middles.min() >= 0 and middles.max() <= SIZE
    assert 0.1 < (draws.blur > 0).mean() < 0.2
    assert draws.blur[draws.blur > 0].min() > 0 and 0.9 < draws.blur.max() <= 1
    noisy = draws.noise.std(axis=(1, 2, 3))
    assert 0.06 < (noisy > 0).mean() < 0.15
    assert NOISE_LEVELS / 2 < noisy.max() < NOISE_LEVELS * 1.1
    assert 0.1 < (draws.jpeg > 0).mean() < 0.2
    assert 2.7 < draws.jpeg.max() <= 3
    assert 0.07 < draws.small.mean() < 0.17 and set(draws.small.tolist()) == {0, 1}
    exponents = np.log(draws.gamma)
    assert 0.23 < (exponents != 0).mean() < 0.37
    assert -0.5 <= exponents.min() < -0.45 and 0.45 < exponents.max() <= 0.5
    lit = draws.light.any(axis=1)
    assert 0.18 < lit.mean() < 0.32
    for slope in draws.light[lit].T:
        assert -80 <= slope.min() < -72 and 72 < slope.max() <= 80


def test_a_variant_is_drawn_from_seed_image_and_number_alone() -> None:
    """Whatever the batch, the same variant is the same; any of the three changed is another one."""
    rows, others = draw(1, np.array([4, 5, 6]), np.array([1, 2, 3])), draw(1, np.array([6, 4]), np.array([3, 1]))
    assert np.array_equal(rows.affine[[2, 0]], others.affine)
    assert np.array_equal(rows.noise[[2, 0]], others.noise)
    for changes in ((2, 4, 1), (1, 5, 1), (1, 4, 2)):
        one = draw(changes[0], np.array([changes[1]]), np.array([changes[2]]))
        assert not np.array_equal(one.affine[0], rows.affine[0])


def test_the_sheet_shows_what_training_draws() -> None:
    """A row per image, its variants in order behind the image itself, each with a white rim."""
    images, numbers = np.stack([textured(1), textured(2)]), np.array([7, 3])
    sheet = variants_sheet(images, numbers, seed=5, copies=3, scale=1)
    assert sheet.shape == (2 * 50, 3 * 50)
    assert (sheet[0] == 255).all() and (sheet[:, 49] == 255).all()
    expected = paint(images[[1]], draw(5, np.array([3]), np.array([2])))[0, ..., 0]
    assert np.abs(sheet[51:99, 101:149] - expected).max() <= 0.51
    assert np.abs(sheet[1:49, 1:49].astype(int) - images[0]).max() <= 1
