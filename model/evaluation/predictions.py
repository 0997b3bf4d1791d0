"""A model's answers on a data set, its figures, and the difference between two models."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.data.crops import OWN, LabelledCrops
from model.errors import DataError
from model.evaluation.metrics import Figures, measure, rates
from model.labels import describe, label_index

_RESAMPLES = 2000

Predict = Callable[[np.ndarray], np.ndarray]
"""Takes crops (N, 48, 48) uint8 and gives probabilities (N, labels)."""


@dataclass(frozen=True)
class Predictions:
    """Probabilities (N, labels) for N crops whose true labels are known as indices (N,) into ``labels``."""

    images: np.ndarray
    labels: tuple[str, ...]
    probabilities: np.ndarray
    truth: np.ndarray

    @property
    def figures(self) -> Figures:
        """How good they are."""
        return measure(self.probabilities, self.truth, self.labels)

    @property
    def predicted(self) -> np.ndarray:
        """The most probable labels (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1))


def predictions(crops: LabelledCrops, probabilities: np.ndarray, labelling: str = OWN) -> Predictions:
    """Join crops and their probabilities (N, labels), leaving out the rows without a true label."""
    counted = crops.truth[labelling] >= 0
    if not counted.any():
        raise DataError("There is no image with a label to evaluate on.")
    return Predictions(crops.crops[counted], crops.labels, probabilities[counted], crops.truth[labelling][counted])


def answers_by_set(predict: Predict, sets: Iterable[tuple[str, LabelledCrops]]) -> dict[str, Predictions]:
    """The answers on each of the named data sets; a set with two labellings has a row for each, NAME by LABELLING."""
    answers = {}
    for name, crops in sets:
        probabilities = predict(crops.crops)
        for labelling in crops.truth:
            row = name if len(crops.truth) == 1 else f"{name} by {labelling}"
            answers[row] = predictions(crops, probabilities, labelling)
    return answers


def pooled(answers: Iterable[Predictions]) -> Predictions:
    """The answers on several data sets as on one."""
    every = list(answers)
    columns = ([getattr(each, name) for each in every] for name in ("images", "probabilities", "truth"))
    images, probabilities, truth = (np.concatenate(column) for column in columns)
    return Predictions(images, every[0].labels, probabilities, truth)


def columns_of(labels: tuple[str, ...], model_labels: tuple[str, ...]) -> list[int]:
    """For each of ``labels`` the model's column that stands for it, synonyms understood.

    Raises DataError if the model has other labels than these.
    """
    columns = [label_index(label, model_labels) for label in labels]
    if sorted(-1 if column is None else column for column in columns) != list(range(len(model_labels))):
        raise DataError(
            f"The model's labels do not match: it has {describe(model_labels)}; expected {', '.join(labels)}."
        )
    return [column for column in columns if column is not None]


def compare(one: Predictions, other: Predictions, seed: int = 0) -> dict[str, dict[str, float]]:
    """How much better ``one`` is than ``other`` on the same crops, with 95 % intervals of a paired bootstrap.

    Images are drawn with replacement, the same ones for both (Efron and Tibshirani 1993, percentile interval).
    """
    count = len(one.labels)
    cells = [truth * count + guess for truth, guess in ((p.truth, p.predicted) for p in (one, other))]

    def difference(rows: Any) -> np.ndarray:
        confusions = [np.bincount(cell[rows], minlength=count**2).reshape(count, count) for cell in cells]
        mine, its = (np.array(list(rates(confusion).values())) for confusion in confusions)
        return np.asarray(mine - its)

    rng = np.random.default_rng(seed)
    drawn = [difference(rng.integers(0, len(one.truth), len(one.truth))) for _ in range(_RESAMPLES)]
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    figures = zip(("accuracy", "macro_f1", "mean_recall"), difference(slice(None)), low, high, strict=True)
    return {name: {"difference": float(d), "low": float(lo), "high": float(hi)} for name, d, lo, hi in figures}
