"""The face detector: a gray image of any size in, at each place of three rasters a face's score and box out."""

import keras
import numpy as np
from keras import layers, ops

from model.layers import normalised_conv, without_normalisation

STRIDES = (8, 16, 32)
"""Distances of the anchor points of each raster, in pixels; an image's sides are multiples of the last."""
OUTPUTS = 5
"""Logit of the score, the box's centre from the place (x, y) in strides, and the logarithms of its sides in strides."""

_NECK = 64
_PRIOR = 0.01
"""Share of the anchor points that hold a face, about: where the scores start (Lin et al. 2017)."""


def detector_network(size: int | None = None, dtype: str | None = None) -> keras.Model:
    """Pixels (N, height, width, 1), 0-255 -> one map (N, height / stride, width / stride, 5) per stride.

    Fully convolutional and anchor-free: plain convolutions where maps are large and channels few, depthwise-separable
    ones (Howard et al. 2017) behind them, a feature pyramid (Lin et al. 2017) and a head for each stride. 0.22 M
    parameters, 0.42 G multiply-adds for 640 x 480 pixels. ``size`` fixes height and width.
    """
    pixels = keras.Input((size, size, 1), name="pixels", dtype="float32")
    x = layers.Rescaling(1 / 64, -2)(pixels)
    x = _conv(_conv(_conv(x, 16), 32), _NECK)
    levels = [_separable(_separable(x, _NECK), _NECK)]
    for _ in STRIDES[1:]:
        x = _separable(levels[-1], 128, strides=2)
        for _ in range(3):
            x = _separable(x, 128)
        levels.append(x)
    return keras.Model(pixels, _heads(_pyramid(levels)), name="detector")


def flattened(maps: list[keras.KerasTensor]) -> keras.KerasTensor:
    """The maps' anchor points in one row, (N, P, 5), in float32: those of the finest raster first, row by row."""
    return ops.concatenate(
        [ops.reshape(ops.cast(m, "float32"), (-1, m.shape[1] * m.shape[2], OUTPUTS)) for m in maps], 1
    )


def anchor_points(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres (P, 2) as x, y in pixels, and strides (P,), in the order of ``flattened``."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = np.mgrid[0 : height // stride, 0 : width // stride]
        centres.append(np.column_stack([columns.ravel(), rows.ravel()]) * stride + stride / 2)
        strides.append(np.full(rows.size, stride))
    return np.concatenate(centres).astype("float32"), np.concatenate(strides).astype("float32")


def inference_detector(trained: keras.Model, slope: float = 1.0, intercept: float = 0.0) -> keras.Model:
    """The network that ships, for images of any size, in float32, batch normalisation folded in.

    Where the trained network's score has the logit s, that of the shipped one is ``slope`` * s + ``intercept``.
    """
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        network = detector_network()
        network.set_weights(trained.get_weights())
        network = without_normalisation(network)
    finally:
        keras.config.set_dtype_policy(policy)
    for stride in STRIDES:
        score = network.get_layer(f"score_{stride}")
        kernel, bias = score.get_weights()
        score.set_weights([kernel * slope, bias * slope + intercept])
    return network


def _conv(x: keras.KerasTensor, width: int) -> keras.KerasTensor:
    return layers.Activation("relu")(normalised_conv(x, width, strides=2))


def _separable(x: keras.KerasTensor, width: int, strides: int = 1) -> keras.KerasTensor:
    """A depthwise convolution and a pointwise one, added to what went in if that has the same shape."""
    before = x
    x = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(x)
    x = normalised_conv(x, width, kernel=1)
    return layers.Activation("relu")(layers.Add()([x, before]) if before.shape[-1] == width and strides == 1 else x)


def _pyramid(levels: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Hand what the coarse levels know down to the fine ones."""
    finer = [layers.Conv2D(_NECK, 1)(level) for level in levels]
    for index in range(len(finer) - 1, 0, -1):
        finer[index - 1] = layers.Add()([finer[index - 1], layers.UpSampling2D(2)(finer[index])])
    return finer


def _heads(levels: list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    rare = keras.initializers.Constant(float(np.log(_PRIOR / (1 - _PRIOR))))
    small = keras.initializers.RandomNormal(stddev=0.01)
    maps = []
    for stride, level in zip(STRIDES, levels, strict=True):
        x = _separable(_separable(level, _NECK), _NECK)
        score = layers.Conv2D(1, 1, dtype="float32", name=f"score_{stride}", bias_initializer=rare)
        box = layers.Conv2D(4, 1, dtype="float32", name=f"box_{stride}", kernel_initializer=small)
        maps.append(layers.Concatenate(name=f"stride_{stride}", dtype="float32")([score(x), box(x)]))
    return maps
