"""How well a classifier predicts: accuracy, recall, F1 and calibration."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Figures:
    """The figures of one classifier on one data set. ``per_class`` maps label -> precision, recall, f1, images."""

    images: int
    accuracy: float
    macro_f1: float
    mean_recall: float
    ece: float
    per_class: dict[str, dict[str, float]]
    confusion: list[list[int]]
    """Rows are the true labels, columns the predicted ones."""

    def as_json(self) -> dict[str, Any]:
        """The figures as plain types."""
        return asdict(self)


def measure(probabilities: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> Figures:
    """Compare probabilities (N, labels) with the true label indices (N,)."""
    predicted = probabilities.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (truth, predicted), 1)
    precision, recall, f1 = _by_class(confusion)
    correct = predicted == truth
    return Figures(
        images=len(truth),
        **rates(confusion),
        ece=expected_calibration_error(probabilities.max(axis=1), correct),
        per_class={
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "images": int(confusion[i].sum()),
            }
            for i, label in enumerate(labels)
        },
        confusion=confusion.tolist(),
    )


def rates(confusion: np.ndarray) -> dict[str, float]:
    """Accuracy, and macro-F1 and mean recall over the labels that occur, of a confusion matrix."""
    _, recall, f1 = _by_class(confusion)
    occurring = confusion.sum(axis=1) > 0
    return {
        "accuracy": float(confusion.trace() / max(1, confusion.sum())),
        "macro_f1": float(f1[occurring].mean()),
        "mean_recall": float(recall[occurring].mean()),
    }


def _by_class(confusion: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Precision, recall and F1 of each label; 0 where there is nothing to divide by."""
    hits, actual, claimed = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    return hits / np.maximum(1, claimed), hits / np.maximum(1, actual), 2 * hits / np.maximum(1, actual + claimed)


def confidence_bins(confidence: np.ndarray, bins: int = 15) -> np.ndarray:
    """The equal-width bin of each confidence (N,), counted from 0; a bin holds its upper edge."""
    return np.asarray(np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017), inputs (N,)."""
    which = confidence_bins(confidence, bins)
    error = 0.0
    for index in range(bins):
        inside = which == index
        if inside.any():
            error += inside.mean() * abs(confidence[inside].mean() - correct[inside].mean())
    return float(error)
