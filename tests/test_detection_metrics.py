"""Precision and recall of boxes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from jobs.training.detection_metrics import curve, match


def random_photograph(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    faces = rng.integers(0, 600, (rng.integers(0, 6), 4)).astype(float)
    faces[:, 2:] = faces[:, 2:] / 5 + 15
    near = np.repeat(faces, 2, axis=0) + rng.normal(0, 8, (2 * len(faces), 4))
    boxes = np.concatenate([near, rng.integers(20, 100, (3, 4)).astype(float)])
    return boxes, rng.permutation(len(boxes)) / 10, faces


def test_figures_agree_with_the_reference(shared_data: Path) -> None:
    """Recall and precision are those of the reference beside the development data, at every threshold."""
    spec = importlib.util.spec_from_file_location("reference", shared_data / "measure.py")
    assert spec and spec.loader
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    rng = np.random.default_rng(0)
    photographs = [random_photograph(rng) for _ in range(40)]
    ours = curve((scores, match(boxes, scores, faces, 1024)) for boxes, scores, faces in photographs)
    truth = {str(i): faces.tolist() for i, (_, _, faces) in enumerate(photographs)}
    for threshold in (0.0, 0.35, 0.75):
        found = {}
        for i, (boxes, scores, _) in enumerate(photographs):
            above = [index for index in np.argsort(-scores) if scores[index] >= threshold]
            found[str(i)] = boxes[above].tolist()
        assert np.allclose(ours.at_threshold(threshold), reference.detection(found, truth))


def test_second_hit_and_small_faces() -> None:
    """A second box on a face is a false positive; small faces are neither asked for nor held against the detector."""
    faces = np.array([[0, 0, 100, 100], [200, 200, 30, 60]])
    boxes = np.array([[0, 0, 100, 100], [5, 5, 100, 100], [200, 200, 30, 60], [400, 0, 50, 50]])
    matches = match(boxes, np.array([0.8, 0.9, 0.7, 0.6]), faces, 1024)
    assert matches.hit.tolist() == [0, 1, -1, 0]
    assert matches.asked.tolist() == [True, False]
    assert match(boxes, np.ones(4), faces, 640).asked.tolist() == [True, True]


def test_threshold_for_a_precision() -> None:
    """The threshold chosen is the lowest at which precision still is what was asked for."""
    boxes, faces = np.array([[0, 0, 90, 90], [200, 0, 90, 90], [400, 0, 90, 90]]), np.array([[0, 0, 90, 90]])
    scores = np.array([0.9, 0.5, 0.4])
    found = curve([(scores, match(boxes, scores, faces, 1024))])
    assert found.at_precision(0.95) == (0.9, 1.0, 1.0)
    assert found.at_precision(0.5) == (0.5, 1.0, 0.5)
    assert curve([]).at_precision(0.5) == (1.0, 0.0, 1.0)


def test_average_precision_by_hand() -> None:
    """Hit, miss, hit with two faces: half of the recall at precision 1, half at 2/3."""
    faces = np.array([[0, 0, 90, 90], [200, 0, 90, 90]])
    boxes, scores = np.array([[0, 0, 90, 90], [400, 0, 90, 90], [200, 0, 90, 90]]), np.array([0.9, 0.8, 0.7])
    found = curve([(scores, match(boxes, scores, faces, 1024))])
    assert found.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert curve([]).average_precision == 0


def test_a_closer_fit_and_a_range_of_sizes() -> None:
    """A box with IoU 0.45 is a hit at 0.35 and none at 0.5; large faces and boxes do not count among small ones."""
    faces = np.array([[0, 0, 90, 90], [200, 0, 300, 300]])
    boxes = np.array([[0, 0, 90, 200], [200, 0, 300, 300], [600, 300, 300, 300]])
    assert match(boxes, np.ones(3), faces, 1024).hit.tolist() == [1, 1, 0]
    assert match(boxes, np.ones(3), faces, 1024, least_fit=0.5).hit.tolist() == [0, 1, 0]
    small = match(boxes, np.ones(3), faces, 1024, sizes=(40, 100))
    assert small.hit.tolist() == [1, -1, -1]
    assert small.asked.tolist() == [True, False]


def test_boxes_near_the_limits_of_size_count_with_room() -> None:
    """A false one counts by its longer side, from 0.8 times the smallest to 1.25 times the largest; the rest does."""
    nothing = np.zeros((0, 4))
    sides = [[31.0, 10], [32, 10], [10, 32], [124, 9], [126, 9], [9, 126]]
    boxes = np.array([[200.0 * number, 0, *side] for number, side in enumerate(sides)])
    scores = np.linspace(0.9, 0.1, len(boxes))
    assert match(boxes, scores, nothing, 1024, sizes=(40, 100)).hit.tolist() == [-1, 0, 0, 0, -1, -1]
    halves = np.concatenate([boxes[:, :2], boxes[:, 2:] / 2], axis=1)
    assert match(halves, scores, nothing, 512, sizes=(40, 100)).hit.tolist() == [-1, 0, 0, 0, -1, -1]


def test_the_surer_of_two_boxes_finds_the_face() -> None:
    """And the face has its score; a box that fits two faces finds the one that it fits better."""
    faces = np.array([[0, 0, 100, 100], [60, 0, 100, 100.0]])
    boxes = np.array([[2, 0, 100, 100], [0, 0, 100, 100], [58, 0, 100, 100.0]])
    found = match(boxes, np.array([0.6, 0.7, 0.2]), faces, 1024)
    assert (found.hit.tolist(), found.score.tolist()) == ([0, 1, 1], [0.7, 0.2])
    assert match(boxes[:0], np.zeros(0), faces, 1024).score.tolist() == [-np.inf, -np.inf]


def test_equal_scores_are_one_point_of_the_curve() -> None:
    """Over photographs, in whatever order they come: precision and recall after all boxes of that score."""
    face = np.array([[0, 0, 90, 90]])
    right, wrong = face, np.array([[400, 0, 90, 90]])
    pairs = [(np.array([0.5]), match(box, np.array([0.5]), face, 1024)) for box in (wrong, right, right)]
    for order in (pairs, pairs[::-1]):
        both = curve(order)
        assert (both.threshold.tolist(), both.recall.tolist()) == ([0.5], pytest.approx([2 / 3]))
        assert both.precision == pytest.approx([2 / 3])
    assert curve(pairs).at_threshold(0.51) == (0, 1)
