"""The rules of a training: each on a network of a few numbers, against its formula or a second source."""

import json
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from keras import layers
from PIL import Image
from rich.console import Console
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.utils.class_weight import compute_class_weight

from jobs.training.bar import TrainingBar
from model import progress
from model.data.crops import LabelledCrops, hard_labelled
from model.errors import TrainingError
from model.evaluation.pictures import training_curves
from model.evaluation.predictions import Predictions
from model.layers import SHRINK, Shrink
from model.training import log
from model.training.augmentation import draw, paint
from model.training.batches import TrainingSet, TrainingSettings, VariantBatches, label_prior, logit_shift, shows
from model.training.checkpoint import TrainingCheckpoint
from model.training.log import EpochLog, TensorBoardPictures, sheet_png
from model.training.loop import calibrate_temperature, fit, one_cycle, shifted_cross_entropy, train

pytestmark = [pytest.mark.usefixtures("untraced"), pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")]
LABELS = ("a", "b", "c")
RARE = np.array([0.7, 0.2, 0.1])


def crops(truth: list[int], levels: list[int] | None = None) -> LabelledCrops:
    """Flat crops with these labels, each of its own gray level."""
    levels = levels or list(range(20, 20 + len(truth)))
    images = np.full((len(truth), 48, 48), 0, np.uint8) + np.array(levels, np.uint8)[:, None, None]
    return hard_labelled(images, np.array(truth), LABELS)


def heads_without_input(*labellings: str) -> keras.Model:
    """A network whose answer is its biases alone: zero features, heads of zeros."""
    pixels = keras.Input((48, 48, 1))
    nothing = layers.Rescaling(0.0)(layers.GlobalAveragePooling2D()(pixels))
    heads = {name: layers.Dense(3, name=name, kernel_initializer="zeros")(nothing) for name in labellings}
    return keras.Model(pixels, heads)


def biases(network: keras.Model, head: str = "emotion") -> np.ndarray:
    return np.asarray(network.get_layer(head).get_weights()[1])


def quick(**changes: Any) -> TrainingSettings:
    """One epoch of one step without decay, unless told otherwise."""
    plain = {"epochs": 1, "batch_size": 100, "copies": 1, "learning_rate": 0.1, "weight_decay": 0.0}
    return TrainingSettings(**plain | {"logit_adjustment": 0.0} | changes)


def one_set(data: LabelledCrops) -> TrainingSet:
    return TrainingSet("data", data, data)


def after_a_step(data: LabelledCrops, folder: Path, **changes: Any) -> keras.Model:
    """The network after one step, which moves its biases against the gradient of the loss."""
    network = heads_without_input(*data.targets)
    train(network, [one_set(data)], quick(batch_size=len(data), **changes), folder / "checkpoint.npz")
    (folder / "checkpoint.npz").unlink()
    return network


def trained_biases(data: LabelledCrops, folder: Path, **changes: Any) -> np.ndarray:
    return biases(after_a_step(data, folder, **changes))


# --- the loss


def adjusted(prior: np.ndarray, strength: float, targets: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """The loss of each row (N,)."""
    stacked = np.stack([targets, np.broadcast_to(logit_shift(prior, strength), targets.shape)], axis=1)
    return np.asarray(shifted_cross_entropy(stacked, logits))


def test_adjusted_loss_is_the_formula_of_menon() -> None:
    """-log of the target's softmax over logits + strength x log prior, for hard and soft targets."""
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(0, 2, (5, 3)).astype("float32"), rng.dirichlet(np.ones(3), 5).astype("float32")
    for strength in (0, 0.3, 1):
        found = adjusted(RARE, strength, targets, logits)
        expected = -(targets * log_softmax(logits + strength * np.log(RARE), axis=1)).sum(axis=1)
        assert found == pytest.approx(expected, rel=1e-4)
    plain = np.asarray(keras.losses.CategoricalCrossentropy(from_logits=True, reduction=None)(targets, logits))
    assert (adjusted(RARE, 0, targets, logits)) == pytest.approx(plain, rel=1e-5)
    assert np.isfinite(adjusted(np.array([1.0, 0, 0]), 1, targets, logits)).all()


def test_adjustment_lifts_the_rare_labels() -> None:
    """Whoever answers without looking does best with the prior unadjusted, and evenly when adjusted in full."""
    targets = np.repeat(np.eye(3), [7, 2, 1], axis=0).astype("float32")
    prior, even = (np.tile(np.log(p), (10, 1)).astype("float32") for p in (RARE, np.full(3, 1 / 3)))

    def cost(strength: float, logits: np.ndarray) -> float:
        return float(np.mean(adjusted(RARE, strength, targets, logits)))

    assert cost(0, prior) < cost(0, even)
    assert cost(1, even) < cost(1, prior)
    assert cost(1, even) == pytest.approx(cost(0, prior), rel=1e-5)
    assert cost(0.5, prior / 2) < min(cost(0.5, even), cost(0.5, prior))


def test_prior_is_the_weighted_share_of_each_label() -> None:
    """Rows of weight 0 have no share, soft targets share theirs."""
    data = crops([0, 0, 1, 2])
    assert label_prior(one_set(data), "emotion") == pytest.approx([0.5, 0.25, 0.25])
    data.weights["emotion"] = np.array([1, 0, 0.5, 0.5], "float32")
    data.targets["emotion"][0] = [0.5, 0.5, 0]
    assert label_prior(one_set(data), "emotion") == pytest.approx([0.25, 0.5, 0.25])


def test_training_adjusts_by_the_prior_of_what_it_is_trained_on(tmp_path: Path) -> None:
    """Unadjusted, a network that sees nothing moves towards the frequent label; adjusted in full it stays."""
    data = crops([0] * 7 + [1] * 2 + [2])
    step = trained_biases(data, tmp_path)
    assert step / step[0] == pytest.approx((RARE - 1 / 3) / (RARE[0] - 1 / 3), abs=1e-5)
    assert step[0] > 0
    assert trained_biases(data, tmp_path, logit_adjustment=1.0) == pytest.approx(np.zeros(3), abs=1e-7)
    half = trained_biases(data, tmp_path, logit_adjustment=0.5)
    shifted = RARE - softmax(0.5 * np.log(RARE))
    assert half / half[0] == pytest.approx(shifted / shifted[0], abs=1e-5)


def test_crops_grow_in_the_second_half() -> None:
    """32 pixels for half of the epochs, 40 for a quarter, and then whole."""
    growing = TrainingSettings(8, progressive=True)
    assert [growing.side(epoch) for epoch in range(8)] == [32, 32, 32, 32, 40, 40, 48, 48]
    assert TrainingSettings(8).side(0) == 48


def test_a_progressive_training_has_its_crops_grow(tmp_path: Path) -> None:
    """The network shrinks them to the side of each epoch."""

    class Sides(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = []

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.seen.append(self.model.get_layer(SHRINK).side)

    pixels, told = keras.Input((48, 48, 1)), Sides()
    features = layers.GlobalAveragePooling2D()(Shrink(name=SHRINK)(pixels))
    network = keras.Model(pixels, {"emotion": layers.Dense(3, name="emotion")(features)})
    settings = quick(epochs=4, progressive=True, learning_rate=1e-6)
    train(network, [one_set(crops([0, 1, 2]))], settings, tmp_path / "c.npz", (told,))
    assert told.seen == [32, 32, 40, 48]


def test_evenness_shows_rare_labels_more_often() -> None:
    """At 1 every label is shown as often, at 0 every image, at a half by the root of its share; the sum stays."""
    each = one_set(crops([0] * 7 + [1] * 2 + [2]))
    even, half = shows(each, 1.0), shows(each, 0.5)
    assert shows(each, 0.0) == pytest.approx(np.ones(10))
    assert [even[:7].sum(), even[7:9].sum(), even[9]] == pytest.approx([10 / 3] * 3)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=each.crops.truth["emotion"])
    assert even == pytest.approx(theirs[each.crops.truth["emotion"]])
    roots = np.sqrt([7, 2, 1])
    assert [half[:7].sum(), half[7:9].sum(), half[9]] == pytest.approx(10 * roots / roots.sum())
    assert label_prior(each, "emotion", 1.0) == pytest.approx(np.full(3, 1 / 3))
    assert shows(replace(each, weight=2.5), 1.0) == pytest.approx(2.5 * even)


def test_rows_count_by_their_weight(tmp_path: Path) -> None:
    """A row of weight 0 teaches nothing; one of weight 2 twice as much as one of weight 1."""
    data = crops([0, 1, 2, 2])
    data.weights["emotion"] = np.array([2, 1, 0, 0], "float32")
    step = trained_biases(data, tmp_path)
    # towards the weighted mean of the targets, from a half each; the third label has no weight and is out of it
    assert step / step[0] == pytest.approx([1, -1, 0], abs=1e-5)


def test_each_set_is_adjusted_by_its_own_prior(tmp_path: Path) -> None:
    """Two sets uneven in opposite ways, adjusted in full, teach a network that sees nothing nothing."""
    one, other = crops([0] * 6 + [1] * 2), crops([0] * 2 + [1] * 6)
    network = heads_without_input("emotion")
    sets = [TrainingSet("one", one, one), TrainingSet("other", other, other, 3.0)]
    train(network, sets, quick(batch_size=32, logit_adjustment=1.0), tmp_path / "c.npz")
    assert biases(network)[:2] == pytest.approx(np.zeros(2), abs=1e-6)


def test_a_label_that_a_set_lacks_is_not_learnt_from_it(tmp_path: Path) -> None:
    """Its logit stays where it is, whatever the set says of the others."""
    step = trained_biases(crops([0, 0, 0, 1]), tmp_path)
    assert step[2] == pytest.approx(0, abs=1e-6)
    assert step[0] == pytest.approx(-step[1])


def test_the_figures_of_an_epoch_are_called_what_they_are(tmp_path: Path) -> None:
    """Whoever always says the frequent label is right on seven of ten in training, and recalls one label of three."""
    network = heads_without_input("emotion")
    history = train(
        network, [one_set(crops([0] * 7 + [1] * 2 + [2]))], quick(epochs=2, batch_size=10), tmp_path / "c.npz"
    )
    assert set(history) == {"loss", "accuracy", "val_loss", "val_mean_recall"}
    assert (history["accuracy"][1], history["val_mean_recall"][1]) == pytest.approx((0.7, 1 / 3))
    panel = training_curves(history).axes[1]
    assert panel.get_ylabel() == "accuracy and mean recall"
    assert [line.get_label() for line in panel.lines[:2]] == ["accuracy, training", "mean recall, validation"]


def test_every_set_counts_the_same_in_validation(tmp_path: Path) -> None:
    """All twelve of one set recalled and none of three of the other are a half, and its loss is their mean."""
    data, network = crops([0, 0, 1, 2]), heads_without_input("emotion")
    sets = [TrainingSet("large", data, crops([0] * 12)), TrainingSet("small", data, crops([1] * 3))]
    history = train(network, sets, quick(batch_size=8), tmp_path / "c.npz")
    assert history["val_mean_recall"] == pytest.approx([0.5])
    assert history["val_loss"] == pytest.approx([-log_softmax(biases(network))[:2].mean()], rel=1e-4)


# --- the best epoch


class Losses(keras.callbacks.Callback):
    """Say these losses instead of the true ones, and remember the weights with which each epoch was validated."""

    def __init__(self, losses: list[float]) -> None:
        super().__init__()
        self.losses, self.seen, self.steps, self.dies_before = losses, [], [], -1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Die if it is time to."""
        if epoch == self.dies_before:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Remember the weights as the step left them."""
        self.steps.append(self.model.get_weights()[0].copy())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the epoch's loss into its figures."""
        self.seen.append(self.model.get_weights()[0].copy())
        assert logs is not None
        logs["val_loss"] = self.losses[epoch]


class Slope(keras.utils.PyDataset):
    """Three steps an epoch of which each pulls the one weight upwards."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return np.ones((1, 1), "float32"), np.full((1, 1), 9.0, "float32")


def one_weight(dropout: float = 0.0, **optimizer: Any) -> keras.Model:
    inputs = keras.Input((1,))
    kept = layers.Dropout(dropout, seed=0)(inputs)
    network = keras.Model(inputs, layers.Dense(1, use_bias=False, kernel_initializer="zeros")(kept))
    options = {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.8} | optimizer
    network.compile(keras.optimizers.SGD(**options), "mse", jit_compile=False)
    return network


def fitted(
    losses: list[float], patience: int, checkpoint: Path, dropout: float = 0.0
) -> tuple[keras.Model, Losses, dict[str, list[float]]]:
    network, told = one_weight(dropout), Losses(losses)
    history = fit(
        network, lambda _: Slope(), len(losses), TrainingCheckpoint(checkpoint, patience, {"data": 1}), (told,)
    )
    return network, told, history


@pytest.mark.parametrize(
    ("losses", "patience", "epochs", "best"),
    [
        ([3, 1, 2, 2, 0], 2, 4, 1),  # two epochs that are worse end it before the one that would have been best
        ([3, 1, 2, 2, 0], 3, 5, 4),
        ([5, 4, 3, 2, 1], 1, 5, 4),
        ([1, 2, 3, 4, 5], 1, 2, 0),
        ([1, 2, 3, 4, 5], 4, 5, 0),
        ([2, 3, 1, 3, 3, 0], 2, 5, 2),
        ([1, 0.5, 0.505], 5, 3, 1),  # hardly worse is worse
        ([1, 0.505, 0.5], 1, 3, 2),
    ],
)
def test_patience_ends_a_training_and_the_best_epoch_is_kept(
    losses: list[float], patience: int, epochs: int, best: int, tmp_path: Path
) -> None:
    """After ``patience`` epochs without a lower loss training stops, with the weights of the lowest."""
    network, told, history = fitted(losses, patience, tmp_path / "c.npz")
    assert history["val_loss"] == losses[:epochs]
    assert network.get_weights()[0] == told.seen[best]
    assert len({float(weight[0, 0]) for weight in told.seen}) == epochs


def test_keras_early_stopping_stops_at_the_same_epoch(tmp_path: Path) -> None:
    """Keras' own callback, told the same losses, ends after the same epoch with the same weights."""
    for seed in range(2):
        losses = np.random.default_rng(seed).permutation(12).astype(float).tolist()
        network, _, history = fitted(losses, 3, tmp_path / f"{seed}.npz")
        theirs, told = one_weight(), Losses(losses)
        early = keras.callbacks.EarlyStopping("val_loss", patience=3, mode="min", restore_best_weights=True)
        averager = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        theirs.fit(Slope(), epochs=12, callbacks=[averager, told, early], verbose=0, shuffle=False)
        assert len(history["val_loss"]) == len(told.seen)
        best = int(np.argmin(losses[: len(told.seen)]))
        assert network.get_weights()[0] == pytest.approx(told.seen[best])


def test_weights_are_averaged_over_the_steps(tmp_path: Path) -> None:
    """What an epoch is judged by, and what stays, is the exponential average of the steps; training itself goes on."""
    network, told, _ = fitted([2, 1], 5, tmp_path / "c.npz")
    average, averages = told.steps[0], []
    for step, weight in enumerate(told.steps):
        average = 0.8 * average + 0.2 * weight if step else weight
        averages.append(average)
    assert [weight[0, 0] for weight in told.seen] == pytest.approx([averages[2][0, 0], averages[5][0, 0]], rel=1e-5)
    assert network.get_weights()[0] == pytest.approx(averages[5], rel=1e-5)
    gradient = 2 * (told.steps[2] - 9)  # the fourth step starts from the third, not from the average
    assert told.steps[3] == pytest.approx(told.steps[2] - 0.01 * gradient, rel=1e-4)


def test_a_resumed_training_has_its_patience_and_its_best_weights(tmp_path: Path) -> None:
    """Cut after two epochs and gone on with, a training stops where the whole one stops, with the same weights."""
    losses = [3.0, 1.0, 2.0, 2.5, 0.0]
    whole, _, history = fitted(losses, 2, tmp_path / "whole.npz")
    for epoch in (2, 3):
        killed = Losses(losses)
        killed.dies_before = epoch
        with pytest.raises(KeyboardInterrupt):
            fit(one_weight(), lambda _: Slope(), 5, TrainingCheckpoint(tmp_path / "cut.npz", 2, {"data": 1}), (killed,))
    resumed, _, so_far = fitted(losses, 2, tmp_path / "cut.npz")
    assert so_far["val_loss"] == history["val_loss"] == losses[:4]
    assert resumed.get_weights()[0] == pytest.approx(whole.get_weights()[0], rel=1e-6)
    _, told, again = fitted(losses, 2, tmp_path / "cut.npz")
    assert (told.seen, again["val_loss"]) == ([], losses[:4])  # and a finished one does nothing
    assert again["loss"] == pytest.approx(history["loss"], rel=1e-5)


def test_a_resumed_training_draws_what_the_whole_one_draws(tmp_path: Path) -> None:
    """Dropout, too, goes on where it was: every step after the cut is that of the training that was not cut."""
    losses = [4.0, 3.0, 2.0, 1.0]
    _, whole, _ = fitted(losses, 2, tmp_path / "whole.npz", dropout=0.5)
    killed = Losses(losses)
    killed.dies_before = 2
    keeper = TrainingCheckpoint(tmp_path / "cut.npz", 2, {"data": 1})
    with pytest.raises(KeyboardInterrupt):
        fit(one_weight(0.5), lambda _: Slope(), 4, keeper, (killed,))
    _, resumed, _ = fitted(losses, 2, tmp_path / "cut.npz", dropout=0.5)
    assert np.ravel(killed.steps + resumed.steps) == pytest.approx(np.ravel(whole.steps), rel=1e-5)


def test_no_other_trainings_checkpoint_is_gone_on_with(tmp_path: Path) -> None:
    """A checkpoint with another identity, or a damaged one, is refused, and what differs is named."""
    fitted([2, 1], 5, tmp_path / "c.npz")
    keeper = TrainingCheckpoint(tmp_path / "c.npz", 5, {"data": 2})
    with pytest.raises(TrainingError, match="data was 1 and is 2"):
        fit(one_weight(), lambda _: Slope(), 3, keeper, (Losses([1, 1, 1]),))
    (tmp_path / "c.npz").write_bytes(b"torn")
    with pytest.raises(TrainingError, match="damaged"):
        fitted([2, 1, 0], 5, tmp_path / "c.npz")


def test_what_makes_another_training(tmp_path: Path) -> None:
    """Other weights to begin with, other data or a set that counts otherwise; the same goes on."""
    data, file = one_set(crops([0, 1, 2])), tmp_path / "c.npz"

    def trained(each: TrainingSet, started_from: str | None, **changes: Any) -> None:
        train(heads_without_input("emotion"), [each], quick(**changes), file, (), started_from)

    trained(data, "one model")
    trained(data, "one model")
    for each, started_from in (
        (data, None),
        (data, "another"),
        (replace(data, weight=2.0), "one model"),
        (replace(data, name="other"), "one model"),
        (replace(data, crops=crops([0, 1, 1])), "one model"),
        (replace(data, validation=crops([0, 1, 1])), "one model"),
    ):
        with pytest.raises(TrainingError, match="left by another"):
            trained(each, started_from)
    with pytest.raises(TrainingError, match=r"left by another.*seed was 0 and is 1"):
        trained(data, "one model", seed=1)


def test_an_older_checkpoints_mean_recall_is_called_so(tmp_path: Path) -> None:
    """It was the validation's accuracy by name; a training goes on from it, and its curve is one."""
    fitted([2, 1], 5, tmp_path / "c.npz")
    with np.load(tmp_path / "c.npz") as saved:
        arrays = dict(saved)
    figures = {"val_loss": [2.0, 1.0], "val_accuracy": [0.5, 0.6]}
    np.savez(tmp_path / "c.npz", **arrays | {"history": np.array(json.dumps(figures))})
    _, _, history = fitted([2, 1], 5, tmp_path / "c.npz")
    assert history == {"val_loss": [2.0, 1.0], "val_mean_recall": [0.5, 0.6]}


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    """Divergence is said, with the epoch and the remedy."""
    with pytest.raises(TrainingError, match=r"epoch 2: val_loss is nan. Lower --learning-rate"):
        fitted([1, math.nan, 1], 5, tmp_path / "c.npz")


def test_training_stops_by_the_patience_of_its_settings(tmp_path: Path) -> None:
    """The emotion CNN's training hands its patience on, and gives the weights of its best epoch."""
    network, told = heads_without_input("emotion"), Losses([1, 2, 0])
    data = crops([0, 0, 1, 2])
    history = train(network, [one_set(data)], quick(epochs=3, patience=1), tmp_path / "c.npz", (told,))
    assert history["val_loss"] == [1, 2]
    assert len(told.seen) == 2


def test_the_optimizer_is_the_one_described(tmp_path: Path) -> None:
    """SGD with Nesterov momentum 0.9, decoupled decay, and an average over about half an epoch, ten steps at least.

    Its rate rises for two epochs.
    """
    network, data = heads_without_input("emotion"), crops([0, 1, 2] * 8)
    train(network, [one_set(data)], quick(batch_size=1, weight_decay=5e-3), tmp_path / "c.npz")
    optimizer = network.optimizer
    assert (optimizer.momentum, optimizer.nesterov, optimizer.use_ema) == (0.9, True, True)
    assert optimizer.weight_decay == 5e-3
    assert optimizer.ema_momentum == pytest.approx(math.exp(-1 / 12))
    few = heads_without_input("emotion")
    train(few, [one_set(data)], quick(batch_size=12, epochs=9, patience=1), tmp_path / "d.npz", (Losses([1, 2]),))
    assert few.optimizer.ema_momentum == pytest.approx(math.exp(-1 / 10))
    rate = few.optimizer.get_config()["learning_rate"]["config"]
    assert (rate["warmup_steps"], rate["warmup_target"], rate["decay_steps"]) == (4, 0.1, 14)


def test_weights_decay_with_the_learning_rate(tmp_path: Path) -> None:
    """Decay is the learning rate times the factor times the weight, beside the gradient."""
    data = crops([0, 1, 2])
    found = []
    for decay in (0.0, 0.5):
        network = heads_without_input("emotion")
        network.get_layer("emotion").set_weights([np.ones((1, 3)), np.zeros(3)])
        train(network, [one_set(data)], quick(weight_decay=decay), tmp_path / f"{decay}.npz")
        found.append(network.get_layer("emotion").get_weights()[0])
    assert found[0] == pytest.approx(np.ones((1, 3)))
    assert found[1] == pytest.approx(np.full((1, 3), 1 - 0.1 * 0.5), rel=1e-5)


# --- the learning rate


def rates_of(schedule: Callable[[Any], Any], steps: int) -> np.ndarray:
    return np.array([float(schedule(step)) for step in range(steps + 1)])


def test_learning_rate_rises_and_falls() -> None:
    """A tenth of the peak, two epochs up to it in even steps, then half a cosine down to zero."""
    rates = rates_of(one_cycle(0.4, 10, 5, warmup_epochs=2), 50)
    assert rates[:11] == pytest.approx(np.linspace(0.04, 0.4, 11), rel=1e-5)
    expected = 0.2 * (1 + np.cos(np.pi * np.arange(41) / 40))
    assert rates[10:] == pytest.approx(expected, abs=1e-6)


def test_a_short_training_warms_up_for_a_quarter_at_most() -> None:
    """Of four epochs one; of three none, and the first step is at the peak."""
    rates = rates_of(one_cycle(1.0, 4, 3, warmup_epochs=2), 12)
    assert int(rates.argmax()) == 3
    assert rates[0] == pytest.approx(0.1)
    assert rates_of(one_cycle(1.0, 3, 4, warmup_epochs=2), 12)[[0, 6, 12]] == pytest.approx([1, 0.5, 0], abs=1e-6)


# --- the batches


def shown(data: LabelledCrops, settings: TrainingSettings, epoch: int) -> list[tuple[bytes, int]]:
    """What an epoch shows: pixels of each variant, and its label."""
    batches = VariantBatches([one_set(data)], settings, epoch)
    return [
        (pixels.tobytes(), int(target[0].argmax()))
        for index in range(len(batches))
        for pixels, target in zip(batches[index][0], batches[index][1]["emotion"], strict=True)
    ]


def test_an_epoch_shows_every_image_once_and_copies_epochs_every_variant() -> None:
    """Three copies in three epochs are three variants of each image, and the fourth epoch repeats the first."""
    rng = np.random.default_rng(0)
    data = hard_labelled(rng.integers(0, 256, (6, 48, 48), np.uint8), np.arange(6), tuple("abcdef"))
    settings = quick(batch_size=2, copies=3)
    epochs = [shown(data, settings, epoch) for epoch in range(4)]
    assert [sorted(label for _, label in epoch) for epoch in epochs] == [list(range(6))] * 4
    assert len({pixels for epoch in epochs[:3] for pixels, _ in epoch}) == 18
    assert sorted(epochs[3]) == sorted(epochs[0])
    plain = {image.astype("float32").tobytes() for image in data.images[..., None]}
    close = [np.frombuffer(p, "float32") for epoch in epochs[:3] for p, _ in epoch]
    originals = [np.frombuffer(p, "float32") for p in plain]
    assert sum(any(np.allclose(one, other, atol=0.01) for other in originals) for one in close) == 6


def test_order_changes_from_epoch_to_epoch_and_with_the_seed_alone() -> None:
    """Other epochs and other seeds shuffle otherwise; resumed at an epoch, the batches are those of that epoch."""
    data = crops([0, 1, 2] * 20, list(range(60)))
    settings, other = quick(batch_size=60), quick(batch_size=60, seed=1)
    labels = [[label for _, label in shown(data, s, e)] for s, e in ((settings, 0), (settings, 1), (other, 0))]
    assert labels[0] != labels[1] != labels[2] != labels[0]
    walked = VariantBatches([one_set(data)], settings)
    walked.on_epoch_end()
    resumed = VariantBatches([one_set(data)], settings, 1)
    for one, same in zip(walked[0], resumed[0], strict=True):
        assert np.array_equal(*(x["emotion"] if isinstance(x, dict) else x for x in (one, same)))
    assert not np.array_equal(VariantBatches([one_set(data)], settings)[0][0], resumed[0][0])


def test_batches_are_whole_and_carry_their_weights() -> None:
    """Seven rows in threes are two batches; two rows in a batch of three are one; weights go with their rows."""
    data = crops([0, 1, 2, 0, 1, 2, 0], [10, 20, 30, 40, 50, 60, 70])
    data.weights["emotion"] = np.arange(7, dtype="float32")
    batches = VariantBatches([one_set(data)], quick(batch_size=3))
    assert (len(batches), len(VariantBatches([one_set(data)], quick(batch_size=8)))) == (2, 1)
    pixels, targets, weights = batches[1]
    assert (pixels.shape, pixels.dtype) == ((3, 48, 48, 1), np.dtype("float32"))
    rows = (pixels[:, 20, 20, 0] / 10 - 1).round().astype(int)
    assert weights["emotion"].tolist() == rows.tolist()
    assert targets["emotion"][:, 0].argmax(axis=1).tolist() == [[0, 1, 2, 0, 1, 2, 0][row] for row in rows]


def noisy(truth: list[int], seed: int) -> LabelledCrops:
    """Crops of noise with these labels."""
    images = np.random.default_rng(seed).integers(0, 256, (len(truth), 48, 48), np.uint8)
    return hard_labelled(images, np.array(truth), LABELS)


def test_variants_are_drawn_by_the_seed_and_the_place_among_all_sets() -> None:
    """In two epochs each image of two sets is shown as it is and as its first variant, drawn by hand."""
    one, other = noisy([0, 1], 0), noisy([2], 1)
    settings = quick(batch_size=3, copies=2, seed=5)
    pictures: list[list[np.ndarray]] = [[], [], []]
    for epoch in range(2):
        pixels, targets, _ = VariantBatches([one_set(one), one_set(other)], settings, epoch)[0]
        for picture, target in zip(pixels, targets["emotion"], strict=True):
            pictures[target[0].argmax()].append(picture)
    images = np.concatenate([one.images, other.images])
    for variant in range(2):
        painted = paint(images, draw(5, np.arange(3), np.full(3, variant)))
        for shown_twice, expected in zip(pictures, painted, strict=True):
            assert sum(np.allclose(picture, expected, atol=0.01) for picture in shown_twice) == 1


# --- what is said of it


def test_the_sheet_of_several_sets_shows_what_training_draws() -> None:
    """The first images of each set in turn of their labels, each by its place among all sets."""
    sets = [noisy([0, 0, 1, 2], 0), noisy([1, 1, 0], 1)]
    sheet = np.asarray(Image.open(BytesIO(sheet_png(sets, quick(copies=3, seed=5), images=2))))
    assert sheet.shape == (4 * 98, 3 * 98)
    tiles = sheet.reshape(4, 98, 3, 98).transpose(0, 2, 1, 3)[:, :, 1:-1:2, 1:-1:2]
    images = np.concatenate([each.images for each in sets])
    for row, place in enumerate((0, 2, 6, 4)):
        expected = paint(images[[place] * 3], draw(5, np.full(3, place), np.arange(3)))[..., 0]
        assert np.abs(tiles[row] - expected).max() <= 0.51


def test_tensorboard_shows_how_the_validation_part_is_answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After the first epoch and every fifth; what is trained on is not asked."""
    shown: list[Predictions] = []
    monkeypatch.setattr(log, "confusion_matrix", lambda answers: shown.append(answers[""]))
    monkeypatch.setattr(log, "as_png", lambda *_, **__: sheet_png([noisy([0], 0)], quick()))
    each = TrainingSet("data", noisy([0, 1, 2, 2], 0), noisy([1, 1, 0], 1))
    network = heads_without_input("emotion")
    network.get_layer("emotion").set_weights([np.zeros((1, 3)), np.log(RARE)])
    pictures = TensorBoardPictures(tmp_path, [each], quick())
    pictures.set_model(network)
    pictures.on_train_begin()
    drawn_after = []
    for epoch in range(10):
        before = len(shown)
        pictures.on_epoch_end(epoch)
        drawn_after += [epoch] * (len(shown) - before)
    pictures.on_train_end()
    assert drawn_after == [0, 4, 9]
    for answers in shown:
        assert np.array_equal(answers.images, each.validation.images)
        assert answers.truth.tolist() == [1, 1, 0]
        assert answers.probabilities == pytest.approx(np.tile(RARE, (3, 1)), abs=1e-5)


def test_an_epoch_that_was_cut_off_has_one_row(tmp_path: Path) -> None:
    """Gone on with at the second epoch, the table keeps the first row and has the second once."""
    for first, losses in ((0, [3.0, 2.0]), (1, [1.5, 1.0])):
        table = EpochLog(tmp_path / "c.csv")
        table.set_params({"epochs": 3})
        for epoch, loss in enumerate(losses, first):
            table.on_epoch_begin(epoch)
            table.on_epoch_end(epoch, {"loss": loss})
    rows = pd.read_csv(tmp_path / "c.csv")
    assert rows[["epoch", "loss"]].to_numpy().tolist() == [[1, 3.0], [2, 1.5], [3, 1.0]]


# --- calibration


def test_temperature_is_where_the_likelihood_is_largest() -> None:
    """SciPy's minimum of the cross-entropy, within a step of the search; logits twice as large want twice as much."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 500)
    logits = 2.5 * (np.eye(3)[truth] + rng.normal(0, 1, (500, 3)))

    def loss(temperature: float) -> float:
        return -log_softmax(logits / temperature, axis=1)[np.arange(500), truth].mean()

    best = minimize_scalar(loss, (0.25, 4), method="bounded", bounds=(0.25, 4)).x
    found = calibrate_temperature(logits, truth)
    assert 1.3 < best < 3
    assert found == pytest.approx(best, rel=0.02)
    assert calibrate_temperature(logits * 0.4, truth) == pytest.approx(0.4 * best, rel=0.02)


def test_temperature_makes_confidence_honest() -> None:
    """Labels drawn with the probabilities of logits over 2 ask for a temperature of 2; unsure ones for less than 1."""
    rng = np.random.default_rng(1)
    honest = rng.normal(0, 2, (4000, 3))
    truth = np.array([rng.choice(3, p=p) for p in softmax(honest, axis=1)])
    assert calibrate_temperature(2 * honest, truth) == pytest.approx(2, rel=0.08)
    assert calibrate_temperature(0.5 * honest, truth) == pytest.approx(0.5, rel=0.08)
    assert calibrate_temperature(honest + 700, truth) == pytest.approx(1, rel=0.08)


def test_temperature_counts_rows_by_their_weights() -> None:
    """A row of weight 2 counts as two rows, one of weight 0 as none."""
    rng = np.random.default_rng(2)
    logits, truth = rng.normal(0, 3, (300, 3)), rng.integers(0, 3, 300)
    times = rng.integers(0, 3, 300)
    repeated = calibrate_temperature(np.repeat(logits, times, axis=0), np.repeat(truth, times))
    assert calibrate_temperature(logits, truth, times.astype(float)) == repeated


def test_long_work_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Every so many seconds, and not at its end, of which another line tells."""
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with caplog.at_level("INFO", "annotate.train"):
        assert list(progress.counted("abc", 3, "reading")) == ["a", "b", "c"]
    assert caplog.messages == ["reading: 1 of 3", "reading: 2 of 3"]
    monkeypatch.setattr(progress, "SECONDS", 60.0)
    assert list(progress.counted("abc", 3, "reading")) == ["a", "b", "c"]
    assert len(caplog.messages) == 2


def test_a_long_training_says_where_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """That it prepares, before the first step there is; then its steps, its measuring, and its epochs."""
    monkeypatch.setattr(progress, "SECONDS", 0.05)

    class Slow(Slope):
        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            time.sleep(0.15)
            return super().__getitem__(index)

    with caplog.at_level("INFO", "annotate.train"):
        keeper = TrainingCheckpoint(tmp_path / "c.npz", 5, {}, "val_loss")
        fit(one_weight(), lambda _: Slow(), 1, keeper, (EpochLog(tmp_path / "c.csv"),), validation_data=Slow())
    said = caplog.messages
    assert said[:2] == ["preparing the network"] * 2
    assert any(line.startswith("step 1 of 3 of this epoch  loss ") for line in said)
    assert "measuring on what is held out" in said
    assert any(line.startswith("epoch 1/1 ") for line in said)
    assert "nan" not in " ".join(said)


def test_silent_work_is_told_of_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At once and then every so many seconds in which nobody else says anything; also where it fails, not longer."""
    monkeypatch.setattr(progress, "SECONDS", 0.3)
    threads = threading.active_count()
    with caplog.at_level("INFO", "annotate.train"), pytest.raises(TrainingError), progress.doing("drawing"):
        for _ in range(4):
            time.sleep(0.1)
            progress.log.info("a line")
        assert caplog.messages == ["drawing"] + ["a line"] * 4
        time.sleep(0.4)
        raise TrainingError
    assert caplog.messages[5:] == ["drawing"]
    assert threading.active_count() == threads


def test_the_bar_has_no_loss_before_there_is_one() -> None:
    """The first step of a network may take half a minute."""
    bar, shown = TrainingBar(), Console(file=StringIO(), width=100)
    bar.set_params({"epochs": 2, "steps": 3})
    bar.on_epoch_begin(0)
    with shown.capture() as first:
        shown.print(bar._progress.get_renderable())
    bar.on_train_batch_end(0, {"loss": 0.5})
    with shown.capture() as second:
        shown.print(bar._progress.get_renderable())
    bar.on_epoch_end(0)
    assert ("preparing" in first.get(), "0/3" in first.get(), "loss" in first.get()) == (True, True, False)
    assert ("1/3" in second.get(), "loss 0.5000" in second.get()) == (True, True)
