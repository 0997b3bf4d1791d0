"""Figures agree with their reference definitions."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from model.data.fer2013 import majority
from model.evaluation.metrics import expected_calibration_error, measure
from model.labels import EMOTIONS


def test_figures_agree_with_scikit_learn() -> None:
    """Accuracy, macro-F1 and mean recall are those of scikit-learn."""
    rng = np.random.default_rng(0)
    truth, probabilities = rng.integers(0, 7, 500), rng.dirichlet(np.ones(7), 500)
    figures, predicted = measure(probabilities, truth, EMOTIONS), probabilities.argmax(axis=1)
    assert figures.accuracy == pytest.approx(accuracy_score(truth, predicted))
    assert figures.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert figures.mean_recall == pytest.approx(recall_score(truth, predicted, average="macro"))
    assert np.array(figures.confusion).sum() == 500


def test_definitions_agree_with_the_reference(shared_data: Path) -> None:
    """FER+ labels, calibration error and leaks are counted as the reference says."""
    spec = importlib.util.spec_from_file_location("reference", shared_data / "measure.py")
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 6, (2000, 10)).astype("float32")
    ours, (labels, counted) = majority(counts), reference.ferplus_labels(counts)
    assert np.array_equal(ours >= 0, counted)
    assert [EMOTIONS[i] for i in ours[counted]] == [reference.FER2013[i] for i in labels[counted]]
    confidence, correct = rng.random(3000), rng.random(3000) < 0.5
    assert expected_calibration_error(confidence, correct) == pytest.approx(reference.ece(confidence, correct))
