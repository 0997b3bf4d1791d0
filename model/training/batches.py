"""What a training sees: several data sets in shuffled batches of variants, with what their unevenness asks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np

from model.data.crops import CROP_SIZE, LabelledCrops
from model.training.augmentation import draw, paint

ABSENT = -30.0
"""Shift of the logit of a label that a set has none of."""


@dataclass(frozen=True)
class TrainingSet:
    """A data set to train on, what of it validates, and how often its images come in an epoch on average."""

    name: str
    crops: LabelledCrops
    validation: LabelledCrops
    weight: float = 1.0


@dataclass(frozen=True)
class TrainingSettings:
    """How the emotion CNN is trained. In an epoch every image is shown once, in one of its variants.

    With ``evenness`` rare labels are shown more often than others, up to 1, where all are shown equally often. What
    unevenness is left, ``logit_adjustment``, a power of the label's share, makes up for. ``weight_decay`` is decoupled
    from the gradient, as Keras has it: times the learning rate it is what a step takes off the weights, so with a
    momentum of 0.9 it compares to ten times the factor of an L2 penalty.
    """

    epochs: int = 60
    batch_size: int = 128
    copies: int = 17
    learning_rate: float = 0.1
    weight_decay: float = 5e-3
    logit_adjustment: float = 0.3
    evenness: float = 0.0
    progressive: bool = False
    """Begin on shrunken crops: the first half of the epochs at 32 pixels, a quarter at 40, the last at 48."""
    patience: int = 15
    seed: int = 0

    def side(self, epoch: int) -> int:
        """Side of the crops that the network sees in an epoch (from 0), in pixels: a multiple of 8."""
        if not self.progressive or epoch >= 3 * self.epochs // 4:
            return CROP_SIZE
        return 32 if epoch < self.epochs // 2 else 40


def shows(each: TrainingSet, evenness: float) -> np.ndarray:
    """How often each image of a set is shown in an epoch (N,): ``weight`` times on average.

    A label's share of what is shown is its share of the set to the power of 1 - ``evenness``: 0 shows every image as
    often as any other, 1 every label.
    """
    label = each.crops.targets[each.crops.labelling_to_learn].argmax(axis=1)
    counts = np.bincount(label)
    share = np.where(counts > 0, counts, 1) ** (1.0 - evenness) * (counts > 0)
    return np.asarray((each.weight * len(label) * share / share.sum() / np.maximum(1, counts))[label])


def label_prior(each: TrainingSet, labelling: str, evenness: float = 0.0) -> np.ndarray:
    """Each label's weighted share of what is shown of a set, (labels,)."""
    crops = each.crops
    rows = crops.weights[labelling] * shows(each, evenness)
    mass = (crops.targets[labelling] * rows[:, None]).sum(axis=0)
    return np.asarray(mass / mass.sum())


def logit_shift(prior: np.ndarray, strength: float) -> np.ndarray:
    """``strength`` x log prior (labels,), what logits are shifted by in the loss (Menon et al. 2021).

    The network learns to answer as if the labels were more evenly spread than in the ``prior``, each label's share of
    what it is shown, which keeps the rare emotions from drowning. A label that the set has none of leaves its softmax
    altogether: the set says nothing about it.
    """
    return np.where(prior > 0, strength * np.log(np.maximum(prior, 1e-9)), ABSENT).astype("float32")


def _shifts(each: TrainingSet, settings: TrainingSettings) -> dict[str, np.ndarray]:
    priors = {name: label_prior(each, name, settings.evenness) for name in each.crops.targets}
    return {name: logit_shift(prior, settings.logit_adjustment) for name, prior in priors.items()}


class VariantBatches(keras.utils.PyDataset):
    """Shuffled batches of all sets in which each image comes as often an epoch as ``shows`` says.

    Each time it is another of its variants, until all have been shown. The order depends on seed and epoch only, so a
    resumed training sees what the killed one would have seen. With every image shown once, an epoch is a pass over the
    data; what is left over of a batch waits for another epoch.

    Beside each row's target stands the shift that its set's logits get in the loss: (N, 2, labels).
    """

    def __init__(self, sets: Sequence[TrainingSet], settings: TrainingSettings, first_epoch: int = 0) -> None:
        super().__init__()
        self._sets, self._settings = sets, settings
        self._shows = np.concatenate([shows(each, settings.evenness) for each in sets])
        self._set = np.repeat(np.arange(len(sets)), [len(each.crops) for each in sets])
        self._start_of = np.cumsum([0, *(len(each.crops) for each in sets)])
        self._shifts = [_shifts(each, settings) for each in sets]
        self._start(first_epoch)

    def __len__(self) -> int:
        return max(1, int(self._shows.sum() + 1e-6) // self._settings.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]:
        size = self._settings.batch_size
        inside = slice(index * size, (index + 1) * size)
        rows, variants = self._rows[inside], self._variants[inside]
        parts = [self._part(number, rows) for number in np.unique(self._set[rows])]
        order = np.argsort(np.concatenate([np.flatnonzero(self._set[rows] == n) for n in np.unique(self._set[rows])]))

        def joined(column: list[np.ndarray]) -> np.ndarray:
            return np.asarray(np.concatenate(column)[order])

        images = joined([part.images for part in parts])
        targets, weights = (
            {name: joined([getattr(part, what)[name] for part in parts]) for name in parts[0].targets}
            for what in ("targets", "weights")
        )
        return paint(images, draw(self._settings.seed, rows, variants)), targets, weights

    def _part(self, number: int, rows: np.ndarray) -> LabelledCrops:
        """Those of the rows that are of one set, in their order, with their shifts beside the targets."""
        crops = self._sets[number].crops.take(rows[self._set[rows] == number] - self._start_of[number])
        shifts = self._shifts[number]
        stacked = {
            name: np.stack([target, np.broadcast_to(shifts[name], target.shape)], axis=1)
            for name, target in crops.targets.items()
        }
        return replace(crops, targets=stacked)

    def on_epoch_end(self) -> None:
        """Go on to the next variants."""
        self._start(self._epoch + 1)

    def _start(self, epoch: int) -> None:
        seed, copies, count = self._settings.seed, self._settings.copies, len(self._shows)
        self._epoch = epoch
        turn = np.random.default_rng((seed, 1)).random(count)
        before, after = (np.floor(number * self._shows + turn + 1e-9).astype(int) for number in (epoch, epoch + 1))
        times = after - before
        rows = np.repeat(np.arange(count), times)
        nth = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
        offset = np.random.default_rng(seed).integers(0, copies, count)
        variants = (offset[rows] + before[rows] + nth) % copies
        order = np.random.default_rng((seed, epoch)).permutation(len(rows))
        if len(rows) >= self._settings.batch_size:
            order = np.resize(order, len(self) * self._settings.batch_size)
        self._rows, self._variants = rows[order], variants[order]
