"""Figures of a model and of the difference between two: by hand, and as scikit-learn and SciPy have them."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy import stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from batch.detection.networks import without_label
from jobs import evaluate
from model.data.crops import hard_labelled
from model.errors import DataError
from model.evaluation import pictures
from model.evaluation.face_pictures import draw_recall_by_size
from model.evaluation.metrics import confidence_bins, expected_calibration_error, measure, rates
from model.evaluation.predictions import Predictions, answers_by_set, columns_of, compare, pooled, predictions
from model.evaluation.table import as_json, as_markdown
from model.labels import EMOTIONS

LABELS = ("a", "b", "c")


def answers(truth: list[int], predicted: list[int], confidence: float = 0.8) -> Predictions:
    """Predictions for as many crops, each as sure as ``confidence``."""
    rest = (1 - confidence) / (len(LABELS) - 1)
    probabilities = np.where(np.eye(len(LABELS))[predicted] == 1, confidence, rest)
    return Predictions(np.zeros((len(truth), 48, 48), np.uint8), LABELS, probabilities, np.array(truth))


def test_figures_by_class_agree_with_scikit_learn() -> None:
    """Precision, recall, F1 and count of each label, the confusion matrix true by row; a label nobody has gives 0."""
    rng = np.random.default_rng(1)
    truth, probabilities = rng.integers(0, 6, 300), rng.dirichlet(np.ones(7), 300)
    truth[truth == 2] = 3
    predicted = probabilities.argmax(axis=1)
    figures = measure(probabilities, truth, EMOTIONS)
    assert figures.confusion == confusion_matrix(truth, predicted, labels=range(7)).tolist()
    expected = precision_recall_fscore_support(truth, predicted, labels=range(7), zero_division=0)
    for name, column in zip(("precision", "recall", "f1", "images"), expected, strict=True):
        assert [figures.per_class[label][name] for label in EMOTIONS] == pytest.approx(column.tolist())
    there = np.unique(truth)
    assert 2 in predicted and 2 not in there and 6 not in there
    assert figures.macro_f1 == pytest.approx(f1_score(truth, predicted, labels=there, average="macro"))
    assert figures.images == 300


def test_rates_by_hand() -> None:
    """Two labels of three occur, and mean recall and macro-F1 are over the two; a wrong third still costs precision."""
    confusion = np.array([[3, 1, 0], [1, 1, 2], [0, 0, 0]])
    found = rates(confusion)
    assert found["accuracy"] == pytest.approx(4 / 8)
    assert found["mean_recall"] == pytest.approx((3 / 4 + 1 / 4) / 2)
    assert found["macro_f1"] == pytest.approx((6 / 8 + 2 / 6) / 2)


def test_bins_hold_their_upper_edges() -> None:
    """0 falls into the first of fifteen bins, 1 into the last, an edge into the bin below it."""
    assert confidence_bins(np.array([0, 1e-9, 1 / 3, 0.334, 1])).tolist() == [0, 0, 4, 5, 14]
    assert confidence_bins(np.array([0.5, 0.51]), 2).tolist() == [0, 1]


def test_calibration_error_by_hand_and_as_scikit_learn_bins() -> None:
    """The gap between confidence and accuracy, by the share of each bin."""
    confidence, correct = np.array([0.95, 0.95, 0.95, 0.55]), np.array([1, 1, 0, 0], bool)
    assert expected_calibration_error(confidence, correct, 10) == pytest.approx(
        0.75 * abs(0.95 - 2 / 3) + 0.25 * abs(0.55 - 0)
    )
    rng = np.random.default_rng(2)
    confidence = rng.random(1000)
    correct = rng.random(1000) < confidence**2
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=15)
    shares = np.histogram(confidence, 15, (0, 1))[0] / 1000
    expected = (shares * np.abs(accuracy - mean_confidence)).sum()
    assert expected_calibration_error(confidence, correct) == pytest.approx(expected)
    sure = rng.random(20_000)
    assert expected_calibration_error(sure, rng.random(20_000) < sure) < 0.02


def test_the_confidence_that_is_measured_is_of_the_answer() -> None:
    """Sure and wrong is badly calibrated, sure and right is not."""
    assert answers([0, 1], [0, 1], 0.9).figures.ece == pytest.approx(0.1)
    assert answers([0, 1], [1, 2], 0.9).figures.ece == pytest.approx(0.9)


def test_who_is_better_has_the_positive_difference() -> None:
    """One model right on all, the other on half: the first is better by a half, the second worse by as much."""
    truth = [0, 1, 2, 0, 1, 2] * 10
    good, bad = answers(truth, truth), answers(truth, [0, 1, 2, 1, 2, 0] * 10)
    better, worse = compare(good, bad), compare(bad, good)
    for name in ("accuracy", "macro_f1", "mean_recall"):
        assert better[name]["difference"] == pytest.approx(0.5)
        assert worse[name]["difference"] == pytest.approx(-0.5)
        assert 0.3 < better[name]["low"] < 0.5 < better[name]["high"] < 0.7
        assert worse[name]["low"] == pytest.approx(-better[name]["high"])
        assert worse[name]["high"] == pytest.approx(-better[name]["low"])
    assert compare(good, good)["accuracy"] == {"difference": 0, "low": 0, "high": 0}


def test_the_bootstrap_is_paired_and_its_interval_is_scipys() -> None:
    """Two models wrong on the same images have hardly a difference to be unsure of; SciPy gives the same interval."""
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, 400)
    one = np.where(rng.random(400) < 0.6, truth, (truth + 1) % 3)
    other = one.copy()
    other[:8] = (truth[:8] + 2) % 3
    found = compare(answers(truth.tolist(), one.tolist()), answers(truth.tolist(), other.tolist()))["accuracy"]
    gain = (one == truth).astype(float) - (other == truth)
    interval = stats.bootstrap((gain,), np.mean, method="percentile", n_resamples=5000, rng=4).confidence_interval
    assert found["difference"] == pytest.approx(gain.mean())
    assert found["low"] == pytest.approx(interval.low, abs=0.004)
    assert found["high"] == pytest.approx(interval.high, abs=0.004)
    assert found["high"] - found["low"] < 0.03
    apart = np.where(rng.random(400) < 0.5, truth, (truth + 1) % 3)
    found = compare(answers(truth.tolist(), one.tolist()), answers(truth.tolist(), apart.tolist()))["accuracy"]
    gain = (one == truth).astype(float) - (apart == truth)
    spread = 2 * stats.norm.ppf(0.975) * gain.std() / 20  # of the mean of 400, by the central limit theorem
    assert found["high"] - found["low"] == pytest.approx(spread, rel=0.08)


def test_rows_without_a_label_are_left_out() -> None:
    """-1 is no label; where no row has one there is nothing to evaluate."""
    crops = hard_labelled(
        np.arange(3, dtype=np.uint8)[:, None, None] + np.zeros((1, 48, 48), np.uint8), np.arange(3), LABELS
    )
    crops.truth["emotion"] = np.array([2, -1, 0])
    kept = predictions(crops, np.eye(3))
    assert kept.truth.tolist() == [2, 0]
    assert kept.predicted.tolist() == [0, 2]
    assert kept.images[:, 0, 0].tolist() == [0, 2]
    crops.truth["emotion"] = np.full(3, -1)
    with pytest.raises(DataError, match="no image with a label"):
        predictions(crops, np.eye(3))


def test_a_models_columns_are_found_by_their_names() -> None:
    """In whatever order and by whatever synonym; other labels, or more of them, are an error."""
    assert columns_of(("joy", "anger", "sadness"), ("sad", "happy", "angry")) == [1, 2, 0]
    for others in (
        ("sad", "happy"),
        ("sad", "happy", "angry", "fear"),
        ("sad", "happy", "fear"),
        ("sad", "fear", "happy"),
    ):
        with pytest.raises(DataError, match="labels do not match"):
            columns_of(("joy", "anger", "sadness"), others)


def test_what_is_left_without_a_label_adds_up_to_one() -> None:
    """The other probabilities keep their proportions; nothing left is evenly spread."""
    answers = np.array([[0.2, 0.3, 0.5], [0, 0, 1]])
    nothing = np.zeros((2, 48, 48), np.uint8)
    assert without_label(lambda _: answers, 2)(nothing) == pytest.approx(np.array([[0.4, 0.6], [0.5, 0.5]]))
    assert without_label(lambda _: answers[:1], 0)(nothing[:1]) == pytest.approx(np.array([[0.375, 0.625]]))


def test_wider_bins_never_find_more() -> None:
    """Merging bins can only hide error: fifteen bins, five, one."""
    rng = np.random.default_rng(5)
    confidence = rng.random(500)
    correct = rng.random(500) < 0.5
    errors = [expected_calibration_error(confidence, correct, bins) for bins in (15, 5, 1)]
    assert all(more >= less - 1e-12 for more, less in pairwise(errors))
    assert errors[-1] == pytest.approx(abs(confidence.mean() - correct.mean()))


# --- tables and pictures


FIVE = Predictions(
    np.zeros((5, 48, 48), np.uint8),
    ("a", "b"),
    np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4], [0.05, 0.95]]),
    np.array([0, 0, 0, 1, 1]),
)
"""Of three a one is right, of two b one; sure and wrong of the second."""


def test_each_labelling_is_measured_by_itself() -> None:
    """A set with two has a row for each: what one calls right the other calls wrong."""
    crops = hard_labelled(np.zeros((2, 48, 48), np.uint8), np.array([0, 1]), LABELS)
    crops.truth["votes"] = np.array([0, 2])
    found = answers_by_set(lambda _: np.eye(3)[:2], [("x", crops)])
    assert {name: answer.figures.accuracy for name, answer in found.items()} == {"x by emotion": 1, "x by votes": 0.5}


def test_sets_count_the_same_in_the_mean_and_by_their_images_together() -> None:
    """Three sets of 0, 0 and 1 right have a third; one image of each label in the table has its recall."""
    good, bad = answers([0, 1, 2], [0, 1, 2]), answers([0, 1, 2], [1, 2, 0])
    sets = {"one": bad, "two": bad, "three": good}
    assert as_json(sets)["mean"]["accuracy"] == pytest.approx(1 / 3)
    assert as_json(sets)["sets"]["three"]["mean_recall"] == 1
    assert pooled([FIVE, FIVE]).figures.confusion == [[2, 4], [2, 2]]
    head, _, row = as_markdown({"x": FIVE}).splitlines()
    assert head == "| data | faces | accuracy | mean recall | macro-F1 | ECE | a | b |"
    figures = FIVE.figures
    four = " | ".join(f"{value:.3f}" for value in (0.4, 5 / 12, figures.macro_f1, figures.ece))
    assert row == f"| x | 5 | {four} | 0.33 | 0.50 |"


def test_cells_of_the_confusion_matrix_are_shares_of_the_true_label() -> None:
    """True ones down, predicted ones across, each row adding up to all."""
    [axes] = pictures.confusion_matrix({"": FIVE}).axes
    assert {text.get_position(): text.get_text() for text in axes.texts} == {
        (0, 0): "33%\n1",
        (1, 0): "67%\n2",
        (0, 1): "50%\n1",
        (1, 1): "50%\n1",
    }
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")
    assert "accuracy 40.0 %" in axes.get_title()
    [axes] = pictures.recalls_by_set({"x": FIVE, "y": FIVE}).axes
    assert [text.get_text() for text in axes.texts] == ["33%", "50%"] * 2
    assert axes.get_title().endswith(f"{5 / 12:.3f}")


def test_the_reliability_diagram_has_what_is_right_over_what_is_claimed() -> None:
    """Each answer in a bin of its own: at its confidence, 0 or 1; below, how many there are."""
    top, bottom = pictures.reliability_diagram(FIVE).axes
    line = top.lines[1]
    assert line.get_xdata() == pytest.approx([0.6, 0.7, 0.8, 0.9, 0.95])
    assert line.get_ydata() == pytest.approx([0, 0, 0, 1, 1])
    assert sum(bar.get_height() for bar in bottom.patches) == 5
    assert {round(bar.get_height()) for bar in top.patches} == {0, 1}


def test_the_surest_mistakes_are_shown_first_with_both_names() -> None:
    """Guess and confidence above the truth; right ones have their name alone."""
    titles = [axes.get_title() for axes in pictures.prediction_grid(FIVE).axes]
    assert [title for title in titles if "is " in title] == ["b 80 %\nis a", "b 70 %\nis a", "a 60 %\nis b"]
    assert sorted(title for title in titles if title and "is " not in title) == ["a\n90 %", "b\n95 %"]


def test_the_best_epoch_is_the_one_of_least_loss() -> None:
    """Counted from one, as people do, in both panels."""
    history = {"loss": [3, 2, 1], "val_loss": [3, 1, 2], "accuracy": [1, 2, 3], "val_mean_recall": [4, 5, 6]}
    for axes in pictures.training_curves(history).axes:
        marked = axes.lines[-1]
        assert (marked.get_label(), marked.get_xdata()[0]) == ("best epoch, 2", 2)
    loss, recall = pictures.training_curves(history).axes
    assert [list(line.get_ydata()) for line in loss.lines[:2]] == [[3, 2, 1], [3, 1, 2]]
    assert [list(line.get_ydata()) for line in recall.lines[:2]] == [[1, 2, 3], [4, 5, 6]]


def test_recall_by_size_is_the_share_that_was_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of two faces of 20 to 30 pixels one, the one of 35, and none of 40 and more; a side on an edge is above it."""
    drawn: list[tuple[int, float]] = []
    monkeypatch.setattr(Axes, "bar", lambda _axes, place, share, **_: drawn.append((place, share)))
    draw_recall_by_size(np.array([20, 29.9, 35, 40]), np.array([1, 0, 1, 0]), tmp_path / "recall.png")
    assert drawn == [(0, 0), (1, 0.5), (2, 1), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0)]


def test_two_models_are_compared_the_right_way_round(tmp_path: Path) -> None:
    """The first is right thrice of four, the other once: +0.5, and each has its own figures and its own table."""
    one, other = answers([0, 0, 1, 1], [0, 0, 1, 0]), answers([0, 0, 1, 1], [0, 1, 0, 0])
    evaluate._write(tmp_path, {}, {"data": one}, Path("one.keras"), {"data": other}, Path("other.keras"))
    facts = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    against = facts["against"]
    assert (facts["sets"]["data"]["accuracy"], against["sets"]["data"]["accuracy"]) == (0.75, 0.25)
    assert against["difference"]["data"]["accuracy"]["difference"] == pytest.approx(0.5)
    first, second = (tmp_path / "table.md").read_text("utf-8").split("other.keras")
    assert first.startswith("one.keras")
    assert "| data | 4 | 0.750 |" in first and "| data | 4 | 0.250 |" in second
