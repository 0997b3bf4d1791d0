"""Training the glance at a cascade's windows: a tiny network that learns from the verifier what deserves its look."""

import keras
import numpy as np
from keras import layers

from model.glance.network import glance_network
from model.layers import without_normalisation
from model.training.log import EpochLog
from model.training.loop import one_cycle

_EPOCHS, _BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 16, 512, 4e-3, 0.02
_LIKELY, _SHARE = 0.05, 0.25
"""What the verifier gives at least the first counts as much as the second times all the rest: it is rare."""


def train_glance(patches: np.ndarray, faceness: np.ndarray, seed: int) -> keras.Model:
    """Train on standardised patches (N, 20, 20) and the probability of a face that the verifier gave each (N,)."""
    keras.utils.set_random_seed(seed)
    network = glance_network()
    trained = keras.Sequential([layers.RandomFlip("horizontal", seed=seed), network, layers.Flatten()])
    steps = -(-len(patches) // _BATCH)
    rate = one_cycle(_LEARNING_RATE, _EPOCHS, steps, warmup_epochs=2)
    trained.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=_WEIGHT_DECAY),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        jit_compile=False,
    )
    likely = faceness >= _LIKELY
    count = int(likely.sum())
    weights = np.where(likely, _SHARE * (len(likely) - count) / max(1, count), 1).astype("float32")
    trained.fit(
        patches[..., None],
        faceness[:, None],
        _BATCH,
        _EPOCHS,
        sample_weight=weights,
        verbose=0,
        callbacks=[EpochLog()],
    )
    return without_normalisation(network)


def glance_logits(network: keras.Model, patches: np.ndarray) -> np.ndarray:
    """What the network says of standardised patches (N, 20, 20): (N,)."""
    return np.asarray(network.predict(patches[..., None], batch_size=4096, verbose=0)).reshape(-1)


def lower_by(network: keras.Model, threshold: float) -> None:
    """Have the network give positive logits where it gave more than ``threshold``."""
    head = network.layers[-1]
    kernel, bias = head.get_weights()
    head.set_weights([kernel, bias - threshold])
