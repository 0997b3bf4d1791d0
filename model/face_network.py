"""The verifier: does this crop hold a face? Small, as it sees a hundred proposals for each face."""

import keras
import numpy as np
from keras import layers

from model.network import CROP_SIZE

FACE_LABELS = ("no face", "face")


def verifier_network() -> keras.Model:
    """Pixels (N, 48, 48, 1), 0-255, of a box and some of its surroundings -> {"face": logits (N, 2)}.

    3.9 M multiply-adds and 175 k parameters.
    """
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    return keras.Model(pixels, {"face": layers.Dense(2, dtype="float32", name="face")(_features(pixels))})


def calibrated_network(trained: keras.Model, slope: float, intercept: float) -> keras.Model:
    """The network that ships: pixels (N, 48, 48, 1) -> probabilities (N, 2) of ``FACE_LABELS``.

    It looks at each crop and its mirror image. Where the trained network's logits differ by d, in the mean of both,
    the probability of a face is the sigmoid of ``slope`` * d + ``intercept`` (Platt 1999); as the head is linear,
    that is folded into its weights.
    """
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    trunk = keras.Model(pixels, _features(pixels), name="features")
    both = layers.Average()([trunk(pixels), trunk(keras.ops.flip(pixels, axis=2))])
    head = layers.Dense(2, activation="softmax", name="probabilities")
    shipped = keras.Model(pixels, head(both), name="faces")
    *weights, kernel, bias = (np.asarray(weight) for weight in trained.weights)
    trunk.set_weights(weights)
    face, none = slope * (kernel[:, 1] - kernel[:, 0]), np.zeros(len(kernel))
    head.set_weights([np.column_stack([none, face]), np.array([0.0, slope * (bias[1] - bias[0]) + intercept])])
    return shipped


def _features(pixels: keras.KerasTensor) -> keras.KerasTensor:
    """Plain convolutions that keep where things are: a face is a face only if eyes and mouth are in their places."""
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4)(x)
    for width, kernel, strides in ((24, 5, 2), (32, 3, 2), (64, 3, 2), (64, 3, 1), (96, 3, 2)):
        x = layers.Conv2D(width, kernel, strides, "same", use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    return layers.Activation("relu")(layers.Dense(64)(x))
