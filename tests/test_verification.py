"""Proposals become faces."""

import numpy as np

from batch.outcome import Box, Found, Key, Outcome, Status
from batch.verification import keep_faces

BOXES = (Box(0, 0, 10, 10, 0.9), Box(1, 1, 10, 10, 0.1), Box(40, 0, 20, 20, 0.5), Box(80, 0, 10, 10, 0.7))


def proposed() -> Outcome:
    crops = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 48, 48), np.uint8)
    return Outcome(Found(Key("r", "p"), 1, 1), Status.OK, boxes=BOXES, crops=crops, wide_crops=crops)


def test_probable_boxes_stay_and_overlapping_ones_merge() -> None:
    """The most probable of overlapping boxes stays with its crop, improbable ones go; scores are the verifier's."""
    kept = keep_faces(proposed(), np.array([0.6, 0.8, 0.2, 0.7]), 0.5)
    assert [box.score for box in kept.boxes] == [0.8, 0.7]
    assert kept.crops[:, 0, 0].tolist() == [1, 3]
    assert (kept.status, kept.wide_crops) == (Status.OK, None)


def test_none_left_is_no_face() -> None:
    """An image of whose proposals none is a face has no face."""
    kept = keep_faces(proposed(), np.zeros(4), 0.5)
    assert (kept.status, kept.boxes, kept.crops.shape) == (Status.NO_FACE, (), (0, 48, 48))


def test_failures_stay_failures() -> None:
    """An image that could not be read has no proposals and keeps its status."""
    failed = Outcome(Found(Key("r", "p"), 1, 1), Status.UNREADABLE, "damaged")
    assert keep_faces(failed, np.zeros(0), 0.5).status is Status.UNREADABLE
