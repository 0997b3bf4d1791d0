"""The convolutional networks: gray crops in, one logit per label out, with preprocessing inside."""

from collections.abc import Iterable

import keras
from keras import layers

CROP_SIZE = 48
"""Side of the square gray crop that every network of this project takes, in pixels (FER2013's format)."""

_NORM = "_norm"


def training_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """The emotion CNN with one head of logits per labelling: pixels (N, 48, 48, 1), 0-255 -> {name: (N, labels)}."""
    pixels = keras.Input((CROP_SIZE, CROP_SIZE, 1), name="pixels")
    features = _features(pixels)
    return keras.Model(
        pixels, {name: layers.Dense(labels, dtype="float32", name=name)(features) for name in labellings}
    )


def inference_network(trained: keras.Model, shares: dict[str, float], temperature: float) -> keras.Model:
    """The network that ships: pixels (N, 48, 48, 1), 0-255 -> probabilities (N, labels).

    Its logits are the mean of the trained heads' logits, weighted by ``shares`` (sum 1) and divided by
    ``temperature``; as heads are linear, that is one head.
    """
    heads = {name: trained.get_layer(name) for name in shares}
    first = next(iter(heads.values()))
    trunk = without_normalisation(keras.Model(trained.input, first.input))
    head = layers.Dense(first.units, activation="softmax", dtype="float32", name="probabilities")
    network = keras.Model(trunk.input, head(trunk.output), name="emotions")
    for index, target in enumerate(head.weights):
        target.assign(sum(share * heads[name].weights[index] for name, share in shares.items()) / temperature)
    return network


def without_normalisation(trained: keras.Model) -> keras.Model:
    """The same function in float32, with each batch normalisation folded into the convolution before it.

    For networks made with ``normalised_conv``. Saves a pass over every feature map, and runtimes fuse the rest.
    """

    def folded(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, layers.BatchNormalization):
            return layers.Identity(name=layer.name, dtype="float32")
        config = layer.get_config() | {"dtype": "float32"}
        if isinstance(layer, layers.Conv2D):
            config["use_bias"] = True
        return type(layer).from_config(config)

    def called(layer: keras.Layer, *inputs: keras.KerasTensor, **_: object) -> keras.KerasTensor:
        return layer(*inputs)  # as in inference, without the batch normalisation's mask

    network = keras.models.clone_model(trained, clone_function=folded, call_function=called)
    for layer in trained.layers:
        if isinstance(layer, layers.BatchNormalization):
            conv = layer.name.removesuffix(_NORM)
            (kernel,) = trained.get_layer(conv).get_weights()
            gamma, beta, mean, variance = layer.get_weights()
            scale = gamma / (variance + layer.epsilon) ** 0.5
            network.get_layer(conv).set_weights([kernel * scale, beta - mean * scale])
        elif layer.weights and getattr(layer, "use_bias", True):
            network.get_layer(layer.name).set_weights(layer.get_weights())
    return network


def normalised_conv(x: keras.KerasTensor, width: int, kernel: int = 3, strides: int = 1) -> keras.KerasTensor:
    """A convolution without bias, batch-normalised."""
    conv = layers.Conv2D(width, kernel, strides, padding="same", use_bias=False, kernel_initializer="he_normal")
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
