"""Supervised training of the emotion CNN: batches of variants, the loss, the callbacks, calibration."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from model.data.crops import balanced
from model.layers import SHRINK
from model.progress import saying
from model.training.batches import TrainingSet, TrainingSettings, VariantBatches
from model.training.checkpoint import TrainingCheckpoint

log = logging.getLogger("annotate.train")


class _Steps(keras.callbacks.Callback):
    """Knows what a training is at."""

    def __init__(self) -> None:
        super().__init__()
        self.doing = "preparing the network"

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count the step."""
        loss = float((logs or {}).get("loss", math.nan))
        self.doing = f"step {batch + 1} of {self.params['steps']} of this epoch  loss {loss:.4f}"

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        """After the last step."""
        self.doing = "measuring on what is held out"


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


class _MeanRecall(keras.callbacks.Callback):
    """Call the accuracy of the validation, where every label counts the same, what it is."""

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        """In what TensorBoard is told of the validation alone."""
        _rename(logs or {}, "")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """In the epoch's figures, beside those of training."""
        _rename(logs or {}, "val_")


def _rename(figures: dict[str, Any], start: str) -> None:
    for name in [name for name in figures if name.startswith(start) and name.endswith("accuracy")]:
        figures[name.removesuffix("accuracy") + "mean_recall"] = figures.pop(name)


def shifted_cross_entropy(target: Any, logits: Any) -> Any:
    """Cross-entropy (N,) of logits (N, labels) plus shifts, with targets and shifts stacked as (N, 2, labels)."""
    return ops.categorical_crossentropy(target[:, 0], ops.cast(logits, "float32") + target[:, 1], from_logits=True)


def accuracy(target: Any, logits: Any) -> Any:
    """Whether the likeliest label is the target's (N,); targets and shifts are stacked as (N, 2, labels)."""
    return ops.cast(ops.equal(ops.argmax(target[:, 0], axis=-1), ops.argmax(logits, axis=-1)), "float32")


def train(
    network: keras.Model,
    sets: Sequence[TrainingSet],
    settings: TrainingSettings,
    checkpoint: Path,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    started_from: str | None = None,
) -> dict[str, list[float]]:
    """Train ``network`` (one logits output per labelling) in place and give its history, one figure per epoch.

    ``started_from`` tells whose weights it has, if not random ones.

    In validation every set counts the same, and in it every label, without shifts: ``val_mean_recall`` is the mean over
    the sets of the mean recall. ``accuracy`` is that of the variants trained on, each counting by its weight.

    Goes on from ``checkpoint`` if that file exists, and leaves it there. The weights at the end are those of the
    epoch with the lowest validation loss, averaged exponentially over the steps before it. ``callbacks`` see each
    epoch with these averaged weights in place, before it is saved. Raises TrainingError if the checkpoint is another
    training's or the loss is no number.
    """
    identity = {
        **asdict(settings),
        **{f"images of {each.name}": (each.crops.fingerprint(), each.weight) for each in sets},
        **{f"validation images of {each.name}": each.validation.fingerprint() for each in sets},
        "precision": keras.config.dtype_policy().name,
        **({"started from": started_from} if started_from else {}),
    }
    network.compile(
        optimizer=_optimizer(settings, len(VariantBatches(sets, settings))),
        loss=dict.fromkeys(network.output, shifted_cross_entropy),
        weighted_metrics={name: [accuracy] for name in network.output},
        jit_compile=False,
    )
    keeper = TrainingCheckpoint(checkpoint, settings.patience, identity)
    return fit(
        network,
        lambda first_epoch: VariantBatches(sets, settings, first_epoch),
        settings.epochs,
        keeper,
        (_MeanRecall(), *((_GrowingCrops(settings),) if settings.progressive else ()), *callbacks),
        validation_data=_validation(sets),
        validation_batch_size=256,
    )


def _validation(sets: Sequence[TrainingSet]) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The validation parts of all sets as Keras takes them: pixels, targets with shifts of 0, and rows' weights."""
    evenly = [balanced(each.validation) for each in sets]
    pixels = np.concatenate([crops.crops for crops in evenly])[..., None].astype("float32")
    targets, weights = {}, {}
    for name in evenly[0].targets:
        target = np.concatenate([crops.targets[name] for crops in evenly])
        targets[name] = np.stack([target, np.zeros_like(target)], axis=1)
        of_sets = [crops.weights[name] / crops.weights[name].sum() for crops in evenly]
        weights[name] = np.concatenate(of_sets) * len(target) / len(sets)
    return pixels, targets, weights


def fit(
    network: keras.Model,
    batches: Callable[[int], keras.utils.PyDataset],
    epochs: int,
    keeper: TrainingCheckpoint,
    callbacks: tuple[keras.callbacks.Callback, ...],
    **validation: Any,
) -> dict[str, list[float]]:
    """Train a compiled network on the ``batches`` from an epoch on, as far as ``keeper`` has not already.

    Leaves it the best epoch's averaged weights; gives the history. Says every half minute where it is.
    """
    averager = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    network.optimizer.build(network.trainable_variables)  # else TensorFlow traces a step twice: once to make these
    first_epoch, steps = keeper.restore(network, averager), _Steps()
    log.info("%s", steps.doing)
    with saying(lambda: steps.doing):
        network.fit(
            batches(first_epoch),
            initial_epoch=first_epoch,
            epochs=epochs if not keeper.stopped else first_epoch,
            callbacks=[averager, steps, *callbacks, keeper],
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


def calibrate_temperature(logits: np.ndarray, truth: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature by which ``logits`` (N, labels) best predict the true labels (N,) (Guo et al. 2017).

    ``weights`` (N,) say how much each row counts; all the same by default.
    """
    counts = np.ones(len(truth)) if weights is None else weights
    candidates = np.geomspace(0.25, 4, 161)
    losses = []
    for temperature in candidates:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        losses.append(counts @ (np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(truth)), truth]))
    return float(candidates[int(np.argmin(losses))])
