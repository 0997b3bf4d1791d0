"""Supervised training of the emotion CNN: batches of variants, the loss, the callbacks, calibration."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from model.data.crops import LabelledCrops, balanced
from model.layers import CROP_SIZE, SHRINK
from model.training.augmentation import draw, paint
from model.training.checkpoint import TrainingCheckpoint

BESIDE = 0.3
"""How much a labelling weighs in the loss beside the one that counts; at 1 its mistakes are learnt by heart."""


@dataclass(frozen=True)
class TrainingSettings:
    """How the emotion CNN is trained. In an epoch every image is shown once, in one of its variants.

    With ``class_weights`` every label counts the same in the loss; there is then nothing for ``logit_adjustment``, a
    power of the label's share, to adjust. ``weight_decay`` is decoupled from the gradient, as Keras has it: times the
    learning rate it is what a step takes off the weights, so with a momentum of 0.9 it compares to ten times the
    factor of an L2 penalty.
    """

    epochs: int = 60
    batch_size: int = 128
    copies: int = 17
    learning_rate: float = 0.1
    weight_decay: float = 5e-3
    logit_adjustment: float = 0.3
    class_weights: bool = False
    progressive: bool = False
    """Begin on shrunken crops: the first half of the epochs at 32 pixels, a quarter at 40, the last at 48."""
    patience: int = 15
    seed: int = 0

    def side(self, epoch: int) -> int:
        """Side of the crops that the network sees in an epoch (from 0), in pixels: a multiple of 8."""
        if not self.progressive or epoch >= 3 * self.epochs // 4:
            return CROP_SIZE
        return 32 if epoch < self.epochs // 2 else 40


class VariantBatches(keras.utils.PyDataset):
    """Shuffled batches in which each image comes once an epoch, in a variant that changes from epoch to epoch.

    After ``copies`` epochs every image has been shown in each of its variants once. The order depends on seed and
    epoch only, so a resumed training sees what the killed one would have seen.
    """

    def __init__(self, crops: LabelledCrops, settings: TrainingSettings, first_epoch: int = 0) -> None:
        super().__init__()
        self._crops, self._settings = crops, settings
        self._start(first_epoch)

    def __len__(self) -> int:
        return len(self._crops) // self._settings.batch_size or 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
        size = self._settings.batch_size
        rows = self._order[index * size : (index + 1) * size]
        batch = self._crops.take(rows)
        return paint(batch.images, draw(self._settings.seed, rows, self._variants[rows])), batch.targets, batch.weights

    def on_epoch_end(self) -> None:
        """Go on to the next variant of every image."""
        self._start(self._epoch + 1)

    def _start(self, epoch: int) -> None:
        self._epoch, count = epoch, len(self._crops)
        self._order = np.random.default_rng((self._settings.seed, epoch)).permutation(count)
        offset = np.random.default_rng(self._settings.seed).integers(0, self._settings.copies, count)
        self._variants = (offset + epoch) % self._settings.copies


class _GrowingCrops(keras.callbacks.Callback):
    """Have the network see crops of the side that the settings tell for each epoch."""

    def __init__(self, settings: TrainingSettings) -> None:
        super().__init__()
        self._settings = settings

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Trace the training step anew where the side changes."""
        shrink, side = self.model.get_layer(SHRINK), self._settings.side(epoch)
        if shrink.side != side:
            shrink.side = side
            self.model.make_train_function(force=True)


def logit_adjusted_loss(prior: np.ndarray, strength: float) -> Callable[[Any, Any], Any]:
    """Cross-entropy against label distributions with logits shifted by ``strength`` x log prior (Menon et al. 2021).

    ``prior`` (labels,) is each label's share of the training set. The network learns to answer as if the labels were
    more evenly spread, which keeps the rare emotions from drowning; 0 is the plain cross-entropy.
    """
    shift = (strength * np.log(np.maximum(prior, 1e-6))).astype("float32")

    def loss(target: Any, logits: Any) -> Any:
        return ops.categorical_crossentropy(target, ops.cast(logits, "float32") + shift, from_logits=True)

    return loss


def label_prior(crops: LabelledCrops, labelling: str) -> np.ndarray:
    """Each label's weighted share of the rows, (labels,)."""
    mass = (crops.targets[labelling] * crops.weights[labelling][:, None]).sum(axis=0)
    return np.asarray(mass / mass.sum())


def train(
    network: keras.Model,
    train_crops: LabelledCrops,
    validation: LabelledCrops,
    settings: TrainingSettings,
    checkpoint: Path,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    started_from: str | None = None,
) -> dict[str, list[float]]:
    """Train ``network`` (one logits output per labelling) in place and give its history, one figure per epoch.

    ``started_from`` tells whose weights it has, if not random ones.

    Goes on from ``checkpoint`` if that file exists, and leaves it there. The weights at the end are those of the
    epoch with the lowest validation loss, averaged exponentially over the steps before it. ``callbacks`` see each
    epoch with these averaged weights in place, before it is saved. Raises TrainingError if the checkpoint is another
    training's or the loss is no number.
    """
    identity = {
        **asdict(settings),
        "images": train_crops.fingerprint(),
        "validation images": validation.fingerprint(),
        "precision": keras.config.dtype_policy().name,
        **({"started from": started_from} if started_from else {}),
    }
    if settings.class_weights:
        train_crops = balanced(train_crops)
    steps = len(VariantBatches(train_crops, settings))
    network.compile(
        optimizer=_optimizer(settings, steps),
        loss={
            name: logit_adjusted_loss(label_prior(train_crops, name), settings.logit_adjustment)
            for name in train_crops.targets
        },
        loss_weights={name: 1.0 if name == train_crops.labelling else BESIDE for name in train_crops.targets},
        weighted_metrics={name: ["accuracy"] for name in train_crops.targets},
        jit_compile=False,
    )
    keeper = TrainingCheckpoint(checkpoint, settings.patience, identity)
    pixels = validation.images[..., None].astype("float32")
    return fit(
        network,
        lambda first_epoch: VariantBatches(train_crops, settings, first_epoch),
        settings.epochs,
        keeper,
        (_GrowingCrops(settings), *callbacks) if settings.progressive else callbacks,
        validation_data=(pixels, validation.targets, validation.weights),
        validation_batch_size=256,
    )


def fit(
    network: keras.Model,
    batches: Callable[[int], keras.utils.PyDataset],
    epochs: int,
    keeper: TrainingCheckpoint,
    callbacks: tuple[keras.callbacks.Callback, ...],
    **validation: Any,
) -> dict[str, list[float]]:
    """Train a compiled network on the ``batches`` from an epoch on, as far as ``keeper`` has not already.

    Leaves it the best epoch's averaged weights; gives the history.
    """
    averager = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    first_epoch = keeper.restore(network, averager)
    network.fit(
        batches(first_epoch),
        initial_epoch=first_epoch,
        epochs=epochs if not keeper.stopped else first_epoch,
        callbacks=[averager, *callbacks, keeper],
        shuffle=False,
        verbose=0,
        **validation,
    )
    keeper.restore_best(network)
    return keeper.history


def one_cycle(peak: float, epochs: int, steps: int, warmup_epochs: int) -> Any:
    """A learning rate that rises to ``peak`` from a tenth of it, and falls to zero along a cosine.

    An epoch has ``steps``; a short training warms up for a quarter of its epochs at most.
    """
    warmup = min(warmup_epochs, epochs // 4) * steps
    return keras.optimizers.schedules.CosineDecay(
        peak / 10 if warmup else peak,
        max(1, epochs * steps - warmup),
        warmup_target=peak if warmup else None,
        warmup_steps=warmup,
    )


def _optimizer(settings: TrainingSettings, steps: int) -> keras.optimizers.Optimizer:
    """SGD with Nesterov momentum, two epochs of warm-up, then a cosine down to zero, and an average of the weights."""
    return keras.optimizers.SGD(
        one_cycle(settings.learning_rate, settings.epochs, steps, warmup_epochs=2),
        momentum=0.9,
        nesterov=True,
        weight_decay=settings.weight_decay,
        use_ema=True,
        ema_momentum=math.exp(-1 / max(10, steps / 2)),
    )


def calibrate_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature by which ``logits`` (N, labels) best predict the true labels (N,) (Guo et al. 2017)."""
    candidates = np.geomspace(0.25, 4, 161)
    losses = []
    for temperature in candidates:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        losses.append((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(truth)), truth]).sum())
    return float(candidates[int(np.argmin(losses))])
