"""The convolutional networks: gray crops in, one logit per label out, with preprocessing inside."""

from collections.abc import Iterable
from typing import Any

import keras
from keras import layers, ops

from model.errors import TrainingError

CROP_SIZE = 48
"""Side of the square gray crop that every network of this project takes, in pixels (FER2013's format)."""

SHRINK = "shrink"
"""Name of a training network's layer that shrinks the crops."""

_NORM, _HEAD = "_norm", "probabilities"


class Shrink(layers.Layer):
    """Crops (N, 48, 48, 1) shrunk to ``side`` pixels while the network is trained: quicker, and nearly as telling."""

    side = CROP_SIZE

    def call(self, pixels: Any, training: bool = False) -> Any:
        """The crops, smaller ones in training."""
        if not training or self.side == CROP_SIZE:
            return pixels
        return ops.image.resize(pixels, (self.side, self.side), antialias=True)


def training_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """The emotion CNN with one head of logits per labelling: pixels (N, 48, 48, 1), 0-255 -> {name: (N, labels)}."""
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    features = _features(Shrink(dtype="float32", name=SHRINK)(pixels))
    return keras.Model(
        pixels, {name: layers.Dense(labels, dtype="float32", name=name)(features) for name in labellings}
    )


def inference_network(trained: keras.Model, shares: dict[str, float], temperature: float) -> keras.Model:
    """The network that ships: pixels (N, 48, 48, 1), 0-255 -> probabilities (N, labels).

    Its logits are the mean of the trained heads' logits, weighted by ``shares`` (sum 1) and divided by
    ``temperature``; as heads are linear, that is one head.
    """
    heads = {name: trained.get_layer(name) for name in shares}
    trunk = trunk_of(trained, next(iter(heads)))
    head = layers.Dense(next(iter(heads.values())).units, activation="softmax", dtype="float32", name=_HEAD)
    network = keras.Model(trunk.input, head(trunk.output), name="emotions")
    for index, target in enumerate(head.weights):
        target.assign(sum(share * heads[name].weights[index] for name, share in shares.items()) / temperature)
    return network


def start_from(network: keras.Model, shipped: keras.Model, same_labels: bool) -> None:
    """Give a training network the weights of one that ``inference_network`` made, heads too if the labels are the same.

    Raises TrainingError if that network is built otherwise.
    """
    trunk, head = shipped.layers[:-1], shipped.layers[-1]
    theirs = [weight for layer in trunk for weight in layer.get_weights()]
    ours = [weight for layer in network.layers if layer.name not in network.output for weight in layer.weights]
    if [weight.shape for weight in theirs] != [tuple(weight.shape) for weight in ours]:
        raise TrainingError("The model to start from is not one of this network's. Take the one that ships, or yours.")
    for target, weight in zip(ours, theirs, strict=True):
        target.assign(weight)
    if same_labels:
        for name in network.output:
            network.get_layer(name).set_weights(head.get_weights())


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


def _features(
    pixels: keras.KerasTensor, widths: tuple[int, ...] = (32, 48, 96, 192), blocks: int = 2, dropout: float = 0.2
) -> keras.KerasTensor:
    """A residual network with squeeze-and-excitation (He et al. 2016; Hu et al. 2018), 1.6 M parameters.

    ``widths`` are the channels of the stem and of each stage; every stage halves the resolution. Each crop is
    standardised to zero mean and unit variance, so that exposure and contrast of the photograph do not matter.
    """
    x = layers.Rescaling(1 / 255)(pixels)
    x = layers.LayerNormalization(axis=(1, 2, 3), center=False, scale=False, epsilon=1e-4)(x)
    x = layers.Activation("relu")(normalised_conv(x, widths[0]))
    for width in widths[1:]:
        for index in range(blocks):
            x = _residual_block(x, width, strides=2 if index == 0 else 1)
    return layers.Dropout(dropout)(layers.GlobalAveragePooling2D()(x))


def _residual_block(x: keras.KerasTensor, width: int, strides: int) -> keras.KerasTensor:
    shortcut = x
    if strides != 1 or x.shape[-1] != width:
        shortcut = normalised_conv(layers.AveragePooling2D(strides)(x) if strides > 1 else x, width, kernel=1)
    x = layers.Activation("relu")(normalised_conv(x, width, strides=strides))
    x = _squeeze_excite(normalised_conv(x, width))
    return layers.Activation("relu")(layers.Add()([x, shortcut]))


def _squeeze_excite(x: keras.KerasTensor, ratio: int = 8) -> keras.KerasTensor:
    width = x.shape[-1]
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(width // ratio, 1, activation="relu")(gate)
    gate = layers.Conv2D(width, 1, activation="sigmoid")(gate)
    return layers.Multiply()([x, gate])
