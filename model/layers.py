"""What the networks are built of: gray crops, normalised convolutions, and what becomes of them when they ship."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from model.data.crops import CROP_SIZE
from model.errors import TrainingError

SHRINK = "shrink"
"""Name of a training network's layer that shrinks the crops."""

_NORM = "_norm"


class Shrink(layers.Layer):
    """Crops (N, 48, 48, 1) shrunk to ``side`` pixels while the network is trained: quicker, and nearly as telling."""

    side = CROP_SIZE

    def call(self, pixels: Any, training: bool = False) -> Any:
        """The crops, smaller ones in training."""
        if not training or self.side == CROP_SIZE:
            return pixels
        return ops.image.resize(pixels, (self.side, self.side), antialias=True)


def trunk_of(trained: keras.Model, head: str) -> keras.Model:
    """What a training network has below the head of that name, copied, in float32."""
    trunk = keras.Model(trained.input, trained.get_layer(head).input)
    copied = keras.models.clone_model(trunk, clone_function=_in_float32)
    copied.set_weights(trunk.get_weights())
    return copied


def without_normalisation(network: keras.Model) -> keras.Model:
    """The same function with each batch normalisation of ``normalised_conv`` folded into its convolution.

    Saves a pass over every feature map, and lets runtimes fuse what is left.
    """
    batch_norms = (layer for layer in network.layers if isinstance(layer, layers.BatchNormalization))
    norms = {layer.name for layer in batch_norms if layer.name.endswith(_NORM)}
    if not norms:
        return network

    def folded(layer: keras.Layer) -> keras.Layer:
        if layer.name in norms:
            return layers.Identity(name=layer.name)
        if layer.name + _NORM in norms:
            return layers.Conv2D.from_config(layer.get_config() | {"use_bias": True})
        return type(layer).from_config(layer.get_config())

    def called(layer: keras.Layer, *inputs: keras.KerasTensor, **_: object) -> keras.KerasTensor:
        return layer(*inputs)  # as in inference, and without the batch normalisation's mask

    light = keras.models.clone_model(network, clone_function=folded, call_function=called)
    for layer in network.layers:
        if layer.name in norms:
            conv = layer.name.removesuffix(_NORM)
            (kernel,) = network.get_layer(conv).get_weights()
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / (variance + layer.epsilon) ** 0.5
            light.get_layer(conv).set_weights([kernel * scale, beta - mean * scale])
        elif layer.name + _NORM not in norms:
            light.get_layer(layer.name).set_weights(layer.get_weights())
    return light


def with_normalisation(network: keras.Model, light: keras.Model, pixels: np.ndarray) -> None:
    """Give ``network`` the weights of ``light``, which ``without_normalisation`` made of one like it: the reverse.

    Each batch normalisation gets the mean and variance that its channels have on ``pixels``, and undoes them, so that
    the function stays the same and training, which normalises by the batch, begins near it.
    """
    norms = [layer.name for layer in network.layers if layer.name.endswith(_NORM)]
    convs = [light.get_layer(norm.removesuffix(_NORM)) for norm in norms]
    answers = keras.Model(light.input, [conv.output for conv in convs]).predict_on_batch(pixels)
    for norm, conv, answer in zip(map(network.get_layer, norms), convs, answers, strict=True):
        kernel, bias = conv.get_weights()
        channels = np.asarray(answer, np.float32).reshape(-1, len(bias))
        mean, variance = channels.mean(axis=0), channels.var(axis=0)
        norm.set_weights([(variance + norm.epsilon) ** 0.5, mean, mean - bias, variance])
        network.get_layer(conv.name).set_weights([kernel])
    done = {*norms, *(conv.name for conv in convs)}
    for layer in network.layers:
        if layer.name not in done:
            layer.set_weights(light.get_layer(layer.name).get_weights())


def check_fits(network: keras.Model, shipped: keras.Model) -> None:
    """Raise TrainingError unless ``shipped`` is what ``without_normalisation`` makes of a network like ``network``."""
    theirs, ours = shipped.get_weights(), without_normalisation(network).get_weights()
    if [weight.shape for weight in theirs] != [weight.shape for weight in ours]:
        raise TrainingError("The model to start from is not one of this network's. Take the one that ships, or yours.")


def start_from(network: keras.Model, shipped: keras.Model, pixels: np.ndarray) -> None:
    """Give a network that is to be trained the weights of one that shipped, batch normalisation folded in.

    What its batch normalisation has to undo is measured on ``pixels``, a batch to train on.
    """
    ours = without_normalisation(network)
    ours.set_weights(shipped.get_weights())
    with_normalisation(network, ours, pixels)


def _in_float32(layer: keras.Layer) -> keras.Layer:
    if isinstance(layer, Shrink):
        return layers.Identity(name=layer.name)
    return type(layer).from_config(layer.get_config() | {"dtype": "float32"})


def normalised_conv(
    x: keras.KerasTensor, width: int, kernel: int = 3, strides: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    """A convolution without bias, batch-normalised."""
    conv = layers.Conv2D(width, kernel, strides, padding=padding, use_bias=False, kernel_initializer="he_normal")
    return layers.BatchNormalization(momentum=0.95, name=conv.name + _NORM)(conv(x))
