"""Proposals become faces."""

import numpy as np
import pytest

from batch.detection.verification import after_look, keep_faces, without_unlikely
from batch.outcome import Box, Found, Key, Outcome, Status

BOXES = (Box(0, 0, 10, 10, 0.9), Box(1, 1, 10, 10, 0.1), Box(40, 0, 20, 20, 0.5), Box(80, 0, 10, 10, 0.7))


def proposed() -> Outcome:
    patches = 10 * np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 72, 72), np.uint8)
    return Outcome(Found(Key("r", "p"), 1, 1), Status.OK, boxes=BOXES, patches=patches)


def test_probable_boxes_stay_and_overlapping_ones_merge() -> None:
    """A face is the mean of its boxes by probability, improbable ones go; scores are the verifier's."""
    kept = keep_faces(proposed(), np.array([0.6, 0.8, 0.2, 0.7]), 0.5)
    assert [box.score for box in kept.boxes] == [0.8, 0.7]
    assert kept.boxes[0][:4] == pytest.approx((0.8 / 1.4, 0.8 / 1.4, 10, 10), abs=1e-5)
    assert kept.boxes[1][:4] == pytest.approx(BOXES[3][:4])
    assert kept.crops.shape == (2, 48, 48)
    assert kept.crops[:, 0, 0].tolist() == [10, 30]
    assert (kept.status, kept.patches) == (Status.OK, None)


def test_unlikely_proposals_are_not_looked_at_again() -> None:
    """What is unlikely at first sight goes, the rest keeps its probability; where nothing is left there is no face."""
    likely = without_unlikely(proposed(), np.array([0.6, 0.01, 0.2, 0.04]))
    assert [box.score for box in likely.boxes] == [0.6, 0.2]
    assert likely.patches is not None and likely.patches[:, 0, 0].tolist() == [0, 20]
    none = without_unlikely(proposed(), np.zeros(4))
    assert (none.status, none.boxes) == (Status.NO_FACE, ())


def test_looks_are_averaged_in_log_odds() -> None:
    """Sure and unsure is fairly sure; what counts nothing changes nothing; certainty does not overflow."""
    odds = np.cbrt((0.9 / 0.1) ** 2 * 0.6 / 0.4)
    assert after_look(np.array([0.9]), np.array([0.6]), 2) == pytest.approx([odds / (1 + odds)])
    assert after_look(np.array([25.0]), np.array([0.6]), 0) == pytest.approx([0.6])
    assert after_look(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1) == pytest.approx([0, 1], abs=1e-6)


def test_none_left_is_no_face() -> None:
    """An image of whose proposals none is a face has no face."""
    kept = keep_faces(proposed(), np.zeros(4), 0.5)
    assert (kept.status, kept.boxes, kept.crops.shape) == (Status.NO_FACE, (), (0, 48, 48))


def test_failures_stay_failures() -> None:
    """An image that could not be read has no proposals and keeps its status."""
    failed = Outcome(Found(Key("r", "p"), 1, 1), Status.UNREADABLE, "damaged")
    assert keep_faces(failed, np.zeros(0), 0.5).status is Status.UNREADABLE
