"""Overlapping boxes."""

import numpy as np

from batch.boxes import overlaps, shares_of_smaller, strongest


def test_overlap_is_intersection_over_union() -> None:
    """Half of one square over another is a third of both; apart or empty boxes do not overlap."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [0, 0, 0, 0]])
    found = overlaps(boxes[:1], boxes)
    assert np.allclose(found, [[1, 1 / 3, 0, 0]])
    assert overlaps(np.zeros((0, 4)), boxes).shape == (0, 4)


def test_share_of_the_smaller_box() -> None:
    """A box inside another one is shared whole, however much larger the other is."""
    boxes = np.array([[0, 0, 100, 100], [10, 10, 10, 10], [95, 0, 10, 10]])
    assert shares_of_smaller(boxes[:1], boxes).tolist() == [[1, 1, 0.5]]
    assert strongest(boxes, np.array([0.5, 0.9, 0.1]), 0.5, shares_of_smaller).tolist() == [1, 2]


def test_best_box_of_a_group_stays_whatever_the_order() -> None:
    """Of overlapping boxes the best one stays, also among equals, in whatever order they come."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [2, 0, 10, 10], [50, 0, 10, 10], [51, 1, 10, 10]])
    scores = np.array([0.5, 0.9, 0.9, 0.3, 0.3])
    expected = [[1, 0, 10, 10], [50, 0, 10, 10]]
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(boxes))
        kept = strongest(boxes[order], scores[order], 0.3)
        assert boxes[order][kept].tolist() == expected
    assert len(strongest(np.zeros((0, 4)), np.zeros(0), 0.3)) == 0
