"""What the detector learns from: formulas, and who answers for which face."""

import numpy as np
import pytest
from keras import ops

from model.detector.loss import FACE, IGNORED, assigned, decoded, detector_loss, generalised_iou, iou
from model.detector.network import anchor_points

CENTRES, STRIDES = anchor_points(64, 64)


def truth(*rows: tuple[float, ...]) -> np.ndarray:
    """One image's true boxes, padded."""
    padded = np.zeros((1, 4, 5), "float32")
    for row, values in zip(padded[0], rows, strict=False):
        row[:] = values
    return padded


def answers_for(box: tuple[float, float, float, float], logit: float) -> np.ndarray:
    """Answers (1, P, 5) in which every place gives the same box."""
    left, top, right, bottom = box
    middle, sides = np.array([left + right, top + bottom]) / 2, np.array([right - left, bottom - top])
    strides = STRIDES[:, None]
    rows = [np.full((len(CENTRES), 1), logit), (middle - CENTRES) / strides, np.log(sides / strides)]
    return np.concatenate(rows, axis=1).astype("float32")[None]


def test_iou_by_hand() -> None:
    first, second = np.array([0.0, 0, 2, 2]), np.array([1.0, 1, 3, 3])
    assert float(iou(first, second)) == pytest.approx(1 / 7, abs=1e-5)
    assert float(generalised_iou(first, second)) == pytest.approx(1 / 7 - 2 / 9, abs=1e-5)
    assert float(generalised_iou(first, first)) == pytest.approx(1, abs=1e-5)
    assert float(generalised_iou(first, np.array([9.0, 9, 10, 10]))) < -0.9


def test_places_are_the_middles_of_their_cells() -> None:
    assert len(CENTRES) == 8 * 8 + 4 * 4 + 2 * 2
    assert CENTRES[0].tolist() == [4, 4]
    assert CENTRES[1].tolist() == [12, 4]
    assert CENTRES[-1].tolist() == [48, 48]
    assert STRIDES[-1] == 32


def test_decoding_gives_the_boxes_back() -> None:
    boxes = np.asarray(decoded(ops.convert_to_tensor(answers_for((10, 12, 30, 40), 0.0)), CENTRES, STRIDES[:, None]))
    np.testing.assert_allclose(boxes, np.broadcast_to([10, 12, 30, 40], boxes.shape), atol=1e-3)


def test_the_places_inside_that_fit_best_answer_for_a_face() -> None:
    """Those outside never do, a better fit goes first, and the best one is to score its fit."""
    face = (10, 12, 30, 40)
    boxes = np.asarray(decoded(answers_for(face, 0.0), CENTRES, STRIDES[:, None])).copy()
    boxes[0, 20:] = [10, 12, 30, 80]  # half the face
    scores = np.linspace(0.6, 0.5, len(CENTRES), dtype="float32")[None]
    quality, index, ignored = (np.asarray(x) for x in assigned(truth((*face, FACE)), scores, boxes, CENTRES))
    inside = ((CENTRES > (10, 12)) & (CENTRES < (30, 40))).all(axis=1)
    assert quality[0, ~inside].max() == 0
    assert 0 < (quality > 0).sum() <= 10
    assert quality.max() == pytest.approx(1, abs=1e-3)
    assert quality[0, 20:].max() < 0.1
    assert index[0, quality[0] > 0.5].tolist() == [0] * int((quality[0] > 0.5).sum())
    assert not ignored.any()


def test_two_faces_have_places_of_their_own() -> None:
    left, right = (4, 4, 28, 36), (34, 20, 60, 60)
    boxes = np.where(CENTRES[None, :, :1] < 32, np.array(left, "f4"), np.array(right, "f4"))
    scores = np.full(boxes.shape[:2], 0.5, "float32")
    quality, index, _ = (np.asarray(x) for x in assigned(truth((*left, FACE), (*right, FACE)), scores, boxes, CENTRES))
    assert set(index[0, quality[0] > 0]) == {0, 1}
    assert (index[0, quality[0] > 0] == (CENTRES[quality[0] > 0, 0] > 32)).all()


def test_ignored_faces_are_neither_faces_nor_background() -> None:
    loss = detector_loss(CENTRES, STRIDES)
    sure, unsure = answers_for((8, 8, 24, 24), 3.0), answers_for((8, 8, 24, 24), -8.0)
    inside = ((CENTRES > (8, 8)) & (CENTRES < (24, 24))).all(axis=1)
    answers = np.where(inside[None, :, None], sure, unsure)
    assert float(loss(truth((8, 8, 24, 24, IGNORED)), answers)) < 1e-3
    assert float(loss(truth(), answers)) > 1


def test_the_right_answer_costs_least() -> None:
    loss, face = detector_loss(CENTRES, STRIDES), truth((8, 8, 40, 48, FACE))
    inside = ((CENTRES > (8, 8)) & (CENTRES < (40, 48))).all(axis=1)

    def cost(box: tuple[float, float, float, float], logit: float) -> float:
        return float(loss(face, np.where(inside[None, :, None], answers_for(box, logit), answers_for(box, -9.0))))

    assert cost((8, 8, 40, 48), 2.0) < cost((12, 8, 44, 48), 2.0) < cost((24, 24, 56, 60), 2.0)
    assert cost((8, 8, 40, 48), 2.0) < cost((8, 8, 40, 48), -5.0)
