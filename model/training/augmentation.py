"""Variants of face crops: drawn from a seed on the host, painted with ``keras.ops`` on any device.

Every variant is a function of (seed, image, variant) alone, so that it can be drawn again in any order or batch.
Variant 0 is the image itself.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from model.layers import CROP_SIZE

NOISE_LEVELS = 6.0
BLOCK = 8  # JPEG codes blocks of 8x8 pixels

# Binomial 5x5 kernel, close to a Gaussian of one pixel.
_BLUR = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]).astype("float32")[:, :, None, None] / 256
# The orthonormal 8x8 DCT-II, and a luminance table that grows with frequency like the one in ITU-T T.81, annex K.
_DCT = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * np.arange(BLOCK) + 1) * np.arange(BLOCK)[:, None] / (2 * BLOCK))
_DCT[0] /= np.sqrt(2)
_DCT = _DCT.astype("float32")
_QUANTISER = (8 + 6 * np.add.outer(np.arange(BLOCK), np.arange(BLOCK))).astype("float32")


@dataclass(frozen=True)
class Draws:
    """What was drawn for a batch of N variants; each field is float32 with first axis N."""

    affine: np.ndarray
    """(N, 8) inverse projective transforms as ``ops.image.affine_transform`` takes them: output (x, y) -> input."""
    contrast: np.ndarray
    brightness: np.ndarray
    """Added gray levels."""
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
    if plain:
        still = np.array([1, 0, 0, 0, 1, 0, 0, 0])
        noise = np.zeros((CROP_SIZE, CROP_SIZE, 1), "float32")
        return still, np.ones(()), np.zeros(()), np.zeros(()), noise, np.zeros(()), np.zeros(5)
    u = rng.random(20)
    size = CROP_SIZE * (0.15 + 0.25 * u[:2])
    corner = u[2:4] * CROP_SIZE - size / 2
    hole = np.array([*corner, *(corner + size), 255 * u[4]]) * (u[5] < 0.25)
    noise = rng.standard_normal((CROP_SIZE, CROP_SIZE, 1), "float32") * (NOISE_LEVELS * u[6] * (u[7] < 0.1))
    return (
        _inverse_affine(u[8:15]),
        0.7 + 0.6 * u[15],
        60 * (u[16] - 0.5),
        u[17] * (u[18] < 0.15),
        noise,
        np.asarray(3 * rng.random() * (u[19] < 0.1)),
        hole,
    )


def _inverse_affine(u: np.ndarray) -> np.ndarray:
    """Flip, rotation (12 degrees), zoom (12 %), shear (8 %) and shift (6 %) about the centre, as eight numbers."""
    angle, shear = np.deg2rad(24 * (u[0] - 0.5)), 0.16 * (u[1] - 0.5)
    zoom = 1 + 0.24 * (u[2:4].mean() - 0.5) + 0.08 * (u[2:4] - 0.5)
    shift = 0.12 * CROP_SIZE * (u[4:6] - 0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.array([[1, shear], [0, 1]]) @ np.diag(zoom) @ np.diag([-1 if u[6] < 0.5 else 1, 1])
    centre = np.full(2, (CROP_SIZE - 1) / 2)
    offset = centre + shift - linear @ centre
    return np.array([linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1], 0, 0])


def paint(images: np.ndarray, draws: Draws) -> np.ndarray:
    """Paint the drawn variants of ``images`` (N, 48, 48) uint8 -> (N, 48, 48, 1) float32, gray levels 0-255."""
    x = ops.cast(ops.convert_to_tensor(images[..., None]), "float32")
    x = ops.image.affine_transform(x, draws.affine, interpolation="bilinear", fill_mode="nearest")
    x = _per_image(draws.contrast) * (x - 128) + 128 + _per_image(draws.brightness)
    blurred = ops.conv(x, _BLUR, padding="same")
    x = x + _per_image(draws.blur) * (blurred - x)
    x = _occlude(x, draws.hole) + draws.noise
    return np.asarray(ops.clip(_jpeg(x, draws.jpeg), 0, 255))


def variants_sheet(images: np.ndarray, numbers: np.ndarray, seed: int, copies: int, scale: int = 2) -> np.ndarray:
    """All variants of ``images`` (N, 48, 48) as one gray picture, a row per image, the image itself on the left.

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
    blocks = ops.reshape(x - 128, (-1, CROP_SIZE // BLOCK, BLOCK, CROP_SIZE // BLOCK, BLOCK))
    spectrum = ops.einsum("ui,nyixj,vj->nyxuv", _DCT, blocks, _DCT)
    step = np.maximum(coarseness[:, None, None, None, None] * _QUANTISER, 1e-3)
    spectrum = ops.round(spectrum / step) * step
    blocks = ops.einsum("ui,nyxuv,vj->nyixj", _DCT, spectrum, _DCT)
    return ops.reshape(blocks, (-1, CROP_SIZE, CROP_SIZE, 1)) + 128
