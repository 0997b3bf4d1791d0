"""Proposals become faces."""

import numpy as np
import pytest

from batch.detection.faces import CLASSIFY, VERIFY, answered, labelled_faces
from batch.detection.verification import average_log_odds
from batch.outcome import ImageFile, Key, Outcome, Proposals, Status
from batch.settings import DetectorSettings

BOXES = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [40, 0, 20, 20], [80, 0, 10, 10]], float)


def faces_by(*looks: list[float]) -> tuple[Outcome, list[tuple[str, list[int]]]]:
    """The outcome of four proposals if the verifier's looks tell these probabilities, and what was asked about them."""
    patches = 10 * np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((4, 72, 72), np.uint8)
    proposals = Proposals(
        ImageFile(Key("r", "p"), 1, 1), 100, 100, None, BOXES, np.full(4, 0.5), patches, np.zeros((4, 3)), {}
    )
    asking = labelled_faces(proposals, DetectorSettings(face_threshold=0.5), with_crops=True)
    asked = []
    try:
        question = next(asking)
        while True:
            seen = question.crops[:, 0, 0].tolist()
            asked.append((question.network, seen))
            look = looks[len(asked) - 1] if question.network == VERIFY else [1.0] * len(seen)
            question = asking.send(np.column_stack([np.zeros(len(seen)), look]))
    except StopIteration as done:
        return done.value, asked


def test_probable_boxes_stay_and_overlapping_ones_merge() -> None:
    """A face is the mean of its boxes by probability, improbable ones go; the largest is the first."""
    outcome, asked = faces_by([0.6, 0.8, 0.2, 0.7], [0.6, 0.8, 0.2, 0.7])
    assert [face.score for face in outcome.faces] == pytest.approx([0.8, 0.7])
    assert outcome.faces[0].box == pytest.approx((0.8 / 1.4, 0.8 / 1.4, 10, 10), abs=1e-5)
    assert outcome.faces[1].box == pytest.approx(BOXES[3])
    assert outcome.crops[:, 0, 0].tolist() == [10, 30]
    assert (outcome.status, asked[-1]) == (Status.OK, (CLASSIFY, [10, 30]))


def test_unlikely_proposals_are_not_looked_at_again() -> None:
    """What is unlikely at first sight goes, and is not asked about any more."""
    _, asked = faces_by([0.6, 0.01, 0.2, 0.04], [0.9, 0.2])
    assert asked == [(VERIFY, [0, 10, 20, 30]), (VERIFY, [0, 20]), (CLASSIFY, [0])]


@pytest.mark.parametrize("looks", [([0.0] * 4,), ([0.2] * 4, [0.2] * 4)])
def test_none_left_is_no_face(looks: tuple[list[float], ...]) -> None:
    """An image of whose proposals none is a face has no face, and no emotions are asked for."""
    outcome, asked = faces_by(*looks)
    assert (outcome.status, outcome.faces, outcome.crops.shape) == (Status.NO_FACE, (), (0, 48, 48))
    assert [network for network, _ in asked] == [VERIFY] * len(looks)


@pytest.mark.parametrize(("detector", "faces"), [("cascade", 1), ("cnn", 2)])
def test_faces_side_by_side(detector: str, faces: int) -> None:
    """Boxes that share 0.6 of each are one face where a cascade saw it, and two where cnn has told them apart."""
    boxes, patches = np.array([[0, 0, 10, 10], [4, 0, 10, 10.0]]), np.zeros((2, 72, 72), np.uint8)
    image = ImageFile(Key("r", "p"), 1, 1), 100, 100, None
    proposals = Proposals(*image, boxes, np.full(2, 0.5), patches, np.zeros((2, 3)), {})
    asking = labelled_faces(proposals, DetectorSettings(detector, face_threshold=0.5))
    sure = answered(asking, lambda _: lambda crops: np.tile([0.1, 0.9], (len(crops), 1)))
    assert len(sure.faces) == faces


def test_looks_are_averaged_in_log_odds() -> None:
    """Sure and unsure is fairly sure; what counts nothing changes nothing; certainty does not overflow."""
    odds = np.cbrt((0.9 / 0.1) ** 2 * 0.6 / 0.4)
    assert average_log_odds(np.array([0.9]), np.array([0.6]), 2) == pytest.approx([odds / (1 + odds)])
    assert average_log_odds(np.array([25.0]), np.array([0.6]), 0) == pytest.approx([0.6])
    assert average_log_odds(np.array([0.0, 1.0]), np.array([0.0, 1.0]), 1) == pytest.approx([0, 1], abs=1e-6)
