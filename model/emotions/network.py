"""The emotion CNN: gray crops in, one logit per label out, with preprocessing inside."""

from collections.abc import Iterable

import keras
from keras import layers

from model.data.crops import CROP_SIZE
from model.errors import TrainingError
from model.layers import SHRINK, Shrink, normalised_conv, trunk_of

_HEAD = "probabilities"


def training_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """The emotion CNN with one head of logits per labelling: pixels (N, 48, 48, 1), 0-255 -> {name: (N, labels)}."""
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    features = _features(Shrink(dtype="float32", name=SHRINK)(pixels))
    return keras.Model(
        pixels, {name: layers.Dense(labels, dtype="float32", name=name)(features) for name in labellings}
    )


def inference_network(trained: keras.Model, head: str, temperature: float) -> keras.Model:
    """The network that ships: pixels (N, 48, 48, 1), 0-255 -> probabilities (N, labels).

    Its logits are those of the trained ``head``, divided by ``temperature``.
    """
    trunk, learned = trunk_of(trained, head), trained.get_layer(head)
    layer = layers.Dense(learned.units, activation="softmax", dtype="float32", name=_HEAD)
    network = keras.Model(trunk.input, layer(trunk.output), name="emotions")
    layer.set_weights([weight / temperature for weight in learned.get_weights()])
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
