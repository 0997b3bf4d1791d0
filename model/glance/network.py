"""The glance, which tells whether a cascade's window is worth the verifier's look."""

import keras
from keras import layers

from model.layers import normalised_conv

GLANCE_SIZE = 20
"""Side of what the glance sees of a window and its surroundings."""


def glance_network() -> keras.Model:
    """Standardised patches (N, 20, 20, 1) -> logits (N, 1, 1, 1) of being worth the verifier's look.

    0.12 M multiply-adds and 30 k parameters.
    """
    patches = keras.Input((GLANCE_SIZE, GLANCE_SIZE, 1), name="patches")
    x = patches
    for width, kernel, strides in ((16, 4, 2), (32, 3, 2), (48, 4, 1)):
        x = layers.Activation("relu")(normalised_conv(x, width, kernel, strides, padding="valid"))
    return keras.Model(patches, layers.Conv2D(1, 1, name="glance")(x))
