"""Overlapping boxes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.detection.boxes import intersection_over_smaller, iou, non_max_suppression
from batch.detection.faces import CLASSIFY, VERIFY, answered, labelled_faces
from batch.detection.verification import merged
from batch.images.decode import Photograph
from batch.outcome import ImageFile, Key, Outcome, Proposals, Status
from batch.settings import DetectorSettings
from batch.tables.schema import face_rows
from batch.workers.worker import find_faces

numbers = st.floats() | st.floats(-100, 200) | st.integers(-100, 200)
any_boxes = st.lists(st.tuples(numbers, numbers, numbers, numbers, st.floats(0, 1)), max_size=8)
sides = st.integers(1, 80)
photographs = st.builds(
    lambda rows, columns, shrunk: Photograph(
        np.arange(rows * columns, dtype=np.uint8).reshape(rows, columns), columns * shrunk, rows * shrunk, None
    ),
    sides,
    sides,
    st.integers(1, 9),
)
"""Tiny ones, decoded at their size or at a smaller one."""


class Answers:
    """A detector that answers anything, as a stranger's network may."""

    def __init__(self, boxes: list[tuple[float, ...]]) -> None:
        self._rows = np.array(boxes, float).reshape(-1, 5)

    def detect(self, _gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the same boxes for every image."""
        return self._rows[:, :4], self._rows[:, 4]


def labelled(
    photograph: Photograph, answers: list[tuple[float, ...]], detector: DetectorSettings, looks: list[float]
) -> Outcome:
    """What becomes of a photograph, if the verifier answers with ``looks``, over and over."""
    boxes, scores, cut, quality = find_faces(photograph, Answers(answers), detector)
    assert cut.shape == (len(boxes), *((72, 72) if detector.spec.verified else (48, 48)))
    assert cut.dtype == np.uint8
    found = ImageFile(Key("r", "p"), 1, 1)
    proposals = Proposals(found, photograph.width, photograph.height, None, boxes, scores, cut, quality, {})
    networks = {
        VERIFY: lambda crops: np.resize(looks, (len(crops), 1)) * [[0, 1]],
        CLASSIFY: lambda crops: np.ones((len(crops), 1)),
    }
    return answered(labelled_faces(proposals, detector, with_crops=True), networks.__getitem__)


def check_rows(outcome: Outcome, photograph: Photograph) -> None:
    """The rows of an outcome are whole boxes within the photograph, and there is a crop for each."""
    assert outcome.crops.shape == (len(outcome.faces), 48, 48)
    assert outcome.crops.dtype == np.uint8
    rows = face_rows([outcome], ("joy",)).to_pylist()
    assert len(rows) == len(outcome.faces)
    for row in rows:
        assert 0 <= row["x"] < row["x"] + row["width"] <= photograph.width
        assert 0 <= row["y"] < row["y"] + row["height"] <= photograph.height


@settings(deadline=None)
@given(photographs, any_boxes, st.sampled_from([8, 64]), st.lists(st.floats(0, 1), min_size=8, max_size=8))
def test_whatever_a_detector_answers(
    photograph: Photograph, answers: list[tuple[float, ...]], detect_size: int, looks: list[float]
) -> None:
    """Infinite, huge, negative and empty boxes and NaN break nothing; what remains are boxes within the photograph."""
    for name in ("cascade", "yunet"):
        check_rows(labelled(photograph, answers, DetectorSettings(name, detect_size, 0.3), looks), photograph)


@given(photographs, st.integers(0, 79), st.integers(0, 79), st.integers(1, 80), st.integers(1, 80))
def test_boxes_within_the_photograph_stay(photograph: Photograph, x: int, y: int, width: int, height: int) -> None:
    """A box that lies within the photograph is the row's, pixel for pixel; one that reaches out is cut off."""
    rows, columns = photograph.gray.shape
    x, y = x % columns, y % rows
    outcome = labelled(photograph, [(x, y, width, height, 1)], DetectorSettings("yunet"), [])
    if max(width, height) > 2 * max(rows, columns):
        assert (outcome.status, outcome.faces) == (Status.NO_FACE, ())
        return
    shrunk = photograph.width // columns
    [row] = face_rows([outcome], ("joy",)).to_pylist()
    ends = min(x + width, columns), min(y + height, rows)
    expected = [x * shrunk, y * shrunk, (ends[0] - x) * shrunk, (ends[1] - y) * shrunk]
    assert [row[name] for name in ("x", "y", "width", "height")] == expected


starts, lengths = st.floats(-1e4, 1e4), st.floats(0.125, 1e4)
proposals = st.lists(st.tuples(starts, starts, lengths, lengths, st.floats(0, 1)), min_size=1, max_size=8)


@settings(deadline=None)
@given(proposals)
def test_merged_boxes_lie_among_the_proposals(drawn: list[tuple[float, ...]]) -> None:
    """Each face is within what its proposals span, no two are one, and the most probable proposal has a face."""
    boxes, probabilities = np.array(drawn)[:, :4], np.array(drawn)[:, 4]
    best, places = merged(boxes, probabilities, 0.5)
    assert len(best) == len(places) >= 1
    assert probabilities[best[0]] == probabilities.max()
    assert (np.diff(probabilities[best]) <= 0).all()
    assert (places >= boxes.min(axis=0) - 1e-6).all() and (places <= boxes.max(axis=0) + 1e-6).all()
    shared = intersection_over_smaller(boxes[best], boxes[best])
    assert (shared[~np.eye(len(best), dtype=bool)] <= 0.5).all()


def test_overlap_is_intersection_over_union() -> None:
    """Half of one square over another is a third of both; apart or empty boxes do not overlap."""
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [0, 0, 0, 0]])
    found = iou(boxes[:1], boxes)
    assert np.allclose(found, [[1, 1 / 3, 0, 0]])
    assert iou(np.zeros((0, 4)), boxes).shape == (0, 4)


def test_share_of_the_smaller_box() -> None:
    """A box inside another one is shared whole, however much larger the other is."""
    boxes = np.array([[0, 0, 100, 100], [10, 10, 10, 10], [95, 0, 10, 10]])
    assert intersection_over_smaller(boxes[:1], boxes).tolist() == [[1, 1, 0.5]]
    assert non_max_suppression(boxes, np.array([0.5, 0.9, 0.1]), 0.5, intersection_over_smaller).tolist() == [1, 2]


def test_best_box_of_a_group_stays_whatever_the_order() -> None:
    """Of overlapping boxes the best one stays, also among equals, in whatever order they come."""
    boxes = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [2, 0, 10, 10], [50, 0, 10, 10], [51, 1, 10, 10]])
    scores = np.array([0.5, 0.9, 0.9, 0.3, 0.3])
    expected = [[1, 0, 10, 10], [50, 0, 10, 10]]
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(boxes))
        kept = non_max_suppression(boxes[order], scores[order], 0.3)
        assert boxes[order][kept].tolist() == expected
    assert len(non_max_suppression(np.zeros((0, 4)), np.zeros(0), 0.3)) == 0
