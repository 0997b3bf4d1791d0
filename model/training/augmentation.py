"""Variants of face crops: drawn from a seed on the host, painted with ``keras.ops`` on any device.

Every variant is a function of (seed, image, variant) alone, so that it can be drawn again in any order or batch.
Variant 0 is the image itself. The variants cover how differently detectors and data sets frame a face, and how
differently photographs show one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from model.data.crops import CROP_SIZE

NOISE_LEVELS = 6.0
ZOOM = (0.75, 1.35)
"""Side of what a variant shows, in sides of the crop."""
TURN, SHEAR, SHIFT, STRETCH = 20.0, 0.08, 0.12, 0.04
"""How far a variant turns (degrees), shears, moves and stretches (shares of the side) at most, either way."""
BLOCK = 8  # JPEG codes blocks of 8x8 pixels

# What is done to each row and each column alike is a matrix of a crop's side: one product on either side of the crop.
# Binomial kernel of five pixels, close to a Gaussian of one.
_BLUR = np.stack([np.eye(CROP_SIZE, k=k, dtype="float32") * w / 16 for k, w in enumerate((1, 4, 6, 4, 1), -2)]).sum(0)
_NO_NOISE = np.zeros((CROP_SIZE, CROP_SIZE, 1), "float32")
_SLOPE = np.linspace(-0.5, 0.5, CROP_SIZE, dtype="float32")
# The orthonormal 8x8 DCT-II, and a luminance table that grows with frequency like the one in ITU-T T.81, annex K.
_DCT = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * np.arange(BLOCK) + 1) * np.arange(BLOCK)[:, None] / (2 * BLOCK))
_DCT[0] /= np.sqrt(2)
_BLOCKS = CROP_SIZE // BLOCK
_DCT = np.kron(np.eye(_BLOCKS), _DCT).astype("float32")
_QUANTISER = np.tile(8 + 6 * np.add.outer(np.arange(BLOCK), np.arange(BLOCK)), (_BLOCKS, _BLOCKS)).astype("float32")


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of N variants; each field is float32 with first axis N."""

    affine: np.ndarray
    """(N, 8) inverse projective transforms as ``ops.image.affine_transform`` takes them: output (x, y) -> input."""
    gamma: np.ndarray
    """Exponent of the gray levels as shares of 255."""
    light: np.ndarray
    """(N, 2) gray levels added from left to right, and from top to bottom: light from aside."""
    contrast: np.ndarray
    brightness: np.ndarray
    """Added gray levels."""
    small: np.ndarray
    """1 where the face has half the resolution, else 0."""
    blur: np.ndarray
    """0 (sharp) to 1 (blurred)."""
    noise: np.ndarray
    """(N, 48, 48, 1) gray levels."""
    jpeg: np.ndarray
    """Coarseness of the quantiser; 0 leaves the image alone."""
    hole: np.ndarray
    """(N, 5) left, top, right, bottom in pixels, and gray level."""


def draw(seed: int, images: np.ndarray, variants: np.ndarray) -> Draws:
    """Draw the variants (N,) of the images with the given numbers (N,)."""
    rows = [_draw_one(np.random.default_rng((seed, i, v)), v == 0) for i, v in zip(images, variants, strict=True)]
    return Draws(*(np.stack(column).astype("float32") for column in zip(*rows, strict=True)))


def _draw_one(rng: np.random.Generator, plain: bool) -> tuple[np.ndarray, ...]:
    zero, one = np.zeros(()), np.ones(())
    if plain:
        still = np.array([1, 0, 0, 0, 1, 0, 0, 0])
        return still, one, np.zeros(2), one, zero, zero, zero, _NO_NOISE, zero, np.zeros(5)
    u = rng.random(27)
    size = CROP_SIZE * (0.15 + 0.25 * u[:2])
    corner = u[2:4] * CROP_SIZE - size / 2
    hole = np.array([*corner, *(corner + size), 255 * u[4]]) * (u[5] < 0.25)
    affine = _inverse_affine(rng.triangular(-1, 0, 1, 7), flip=u[8] < 0.5)
    noise = rng.standard_normal(_NO_NOISE.shape, "float32") * (NOISE_LEVELS * u[6]) if u[7] < 0.1 else _NO_NOISE
    return (
        affine,
        np.exp(0.5 * (2 * u[9] - 1) * (u[10] < 0.3)),
        80 * (2 * u[11:13] - 1) * (u[13] < 0.25),
        0.7 + 0.6 * u[15],
        60 * (u[16] - 0.5),
        1.0 * (u[20] < 0.12),
        u[17] * (u[18] < 0.15),
        noise,
        3 * u[21] * (u[19] < 0.15),
        hole,
    )


def _inverse_affine(v: np.ndarray, flip: bool) -> np.ndarray:
    """Turn, shear, zoom, stretch and shift about the centre, ``v`` (7,) of their largest, -1 to 1, as eight numbers."""
    angle, shear = np.deg2rad(TURN * v[0]), SHEAR * v[1]
    zoom = ZOOM[int(v[2] > 0)] ** abs(v[2]) * (1 + STRETCH * v[3:5])
    shift = SHIFT * CROP_SIZE * v[5:7]
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(zoom) @ np.diag([-1 if flip else 1, 1])
    centre = np.full(2, (CROP_SIZE - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.array([linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1], 0, 0])


def paint(images: np.ndarray, draws: Draws) -> np.ndarray:
    """Paint the drawn variants of ``images`` -> (N, 48, 48, 1) float32, gray levels 0-255.

    ``images`` are (N, side, side) uint8: crops of 48 pixels, or larger ones with such a crop in the middle.
    """
    x = ops.cast(ops.convert_to_tensor(images[..., None]), "float32")
    x = ops.image.affine_transform(x, _into(draws.affine, images.shape[1]), "bilinear", "nearest")
    x = x[:, :CROP_SIZE, :CROP_SIZE]
    x = 255 * ops.power(ops.clip(x, 0, 255) / 255, _per_image(draws.gamma))
    x = x + _per_image(draws.light[:, 0]) * _SLOPE[:, None] + _per_image(draws.light[:, 1]) * _SLOPE[:, None, None]
    x = _per_image(draws.contrast) * (x - 128) + 128 + _per_image(draws.brightness)
    halved = ops.image.resize(ops.average_pool(x, 2), (CROP_SIZE, CROP_SIZE))
    x = x + _per_image(draws.small) * (halved - x)
    blurred = _both_ways(_BLUR, x)
    x = x + _per_image(draws.blur) * (blurred - x)
    x = _occlude(x, draws.hole) + draws.noise
    return np.asarray(ops.clip(_jpeg(x, draws.jpeg), 0, 255))


def _into(affine: np.ndarray, side: int) -> np.ndarray:
    """Transforms (N, 8) into a crop as such into the middle of an image of that side."""
    moved = affine.copy()
    moved[:, [2, 5]] += (side - CROP_SIZE) / 2
    return moved


def variants_sheet(images: np.ndarray, numbers: np.ndarray, seed: int, copies: int, scale: int = 2) -> np.ndarray:
    """All variants of ``images`` (N, side, side) as one gray picture, a row per image, the image itself on the left.

    ``numbers`` (N,) are the images' places in the training set, by which training draws its variants.
    """
    shown, variants = np.repeat(np.arange(len(images)), copies), np.tile(np.arange(copies), len(images))
    painted = paint(images[shown], draw(seed, numbers[shown], variants))[..., 0]
    tiles = np.rint(painted).astype(np.uint8).repeat(scale, axis=1).repeat(scale, axis=2)
    tiles = np.pad(tiles, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    rows = tiles.reshape(len(images), copies, *tiles.shape[1:])
    return np.concatenate([np.concatenate(list(row), axis=1) for row in rows])


def _per_image(values: np.ndarray) -> np.ndarray:
    return values[:, None, None, None]


def _occlude(x: Any, hole: np.ndarray) -> Any:
    left, top, right, bottom, gray = (_per_image(column) for column in hole.T)
    column = np.arange(CROP_SIZE, dtype="float32")[None, None, :, None]
    row = np.arange(CROP_SIZE, dtype="float32")[None, :, None, None]
    inside = (column >= left) & (column < right) & (row >= top) & (row < bottom)
    return ops.where(inside, gray, x)


def _jpeg(x: Any, coarseness: np.ndarray) -> Any:
    """Leave the traces of JPEG: quantise the DCT of every 8x8 block."""
    step = np.maximum(_per_image(coarseness) * _QUANTISER[..., None], 1e-3)
    spectrum = ops.round(_both_ways(_DCT, x - 128) / step) * step
    return _both_ways(_DCT.T, spectrum) + 128


def _both_ways(matrix: np.ndarray, x: Any) -> Any:
    """The matrix (48, 48) applied to the columns of crops (N, 48, 48, 1), and to their rows."""
    return ops.matmul(matrix, ops.matmul(x[..., 0], np.ascontiguousarray(matrix.T)))[..., None]
