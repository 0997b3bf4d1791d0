"""The verifier: does this crop hold a face? Small, as it sees a hundred proposals and more for a face."""

import keras
import numpy as np
from keras import layers

from model.data.crops import CROP_SIZE
from model.layers import normalised_conv, trunk_of, without_normalisation

FACE_LABELS = ("no face", "face")


def verifier_network() -> keras.Model:
    """Pixels (N, 48, 48, 1), 0-255, of a box and some of its surroundings -> {"face": logits (N, 2)}.

    8.3 M multiply-adds and 227 k parameters.
    """
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    return keras.Model(pixels, {"face": layers.Dense(2, dtype="float32", name="face")(_features(pixels))})


def calibrated_network(trained: keras.Model, slope: float, intercept: float) -> keras.Model:
    """The network that ships: pixels (N, 48, 48, 1) -> probabilities (N, 2) of ``FACE_LABELS``.

    Where the trained network's logits differ by d, the probability of a face is the sigmoid of ``slope`` * d +
    ``intercept`` (Platt 1999); as the head is linear, that is folded into its weights.
    """
    trunk = without_normalisation(trunk_of(trained, "face"))
    head = layers.Dense(2, activation="softmax", dtype="float32", name="probabilities")
    shipped = keras.Model(trunk.input, head(trunk.output), name="faces")
    kernel, bias = trained.get_layer("face").get_weights()
    face, none = slope * (kernel[:, 1] - kernel[:, 0]), np.zeros(len(kernel))
    head.set_weights([np.column_stack([none, face]), np.array([0.0, slope * (bias[1] - bias[0]) + intercept])])
    return shipped


def _features(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Plain convolutions that keep where things are: a face is a face only if eyes and mouth are in their places."""
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4)(x)
    for width, kernel, strides in ((24, 5, 2), (48, 3, 2), (48, 3, 1), (72, 3, 2), (72, 3, 1), (96, 3, 2)):
        before = x
        x = normalised_conv(x, width, kernel, strides)
        x = layers.Activation("relu")(x if strides > 1 else layers.Add()([x, before]))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return layers.Activation("relu")(layers.Dense(64)(x))
