"""What the cascade proposes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import astronaut

from batch.detection.boxes import iou
from batch.detection.detectors.cascade import Cascade, haar_cascade
from batch.errors import DetectorError

FACE = np.array([[170, 65, 110, 110]])  # where the astronaut's face is, by eye


def test_face_is_among_the_proposals() -> None:
    """The astronaut's face is proposed, and only as many boxes as the verifier is to see."""
    boxes, scores = Cascade().detect(np.asarray(astronaut().convert("L")))
    assert iou(FACE, boxes).max() > 0.5
    assert 1 < len(boxes) <= round(512 * Cascade.MOST)
    assert (np.diff(scores) <= 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (19, 640), (48, 48)])
def test_nothing_to_propose(shape: tuple[int, int]) -> None:
    """Images too small for a face, or even, have no proposals."""
    assert [len(part) for part in Cascade().detect(np.full(shape, 128, np.uint8))] == [0, 0]


def test_the_first_stages_ask_for_more_votes() -> None:
    """Of the windows that pass a stage of OpenCV's those pass ours that have as many votes, and no others."""
    gray = np.asarray(astronaut().convert("L").resize((128, 128)))

    def passing(stages: int, *least_votes: float) -> tuple[np.ndarray, np.ndarray]:
        found = haar_cascade(stages, least_votes).detectMultiScale3(gray, 1.15, 0, outputRejectLevels=True)
        return found[0], np.ravel(found[2])

    for stages in range(2, len(Cascade.LEAST_VOTES) + 1):
        *before, least = Cascade.LEAST_VOTES[:stages]
        windows, votes = passing(stages, *before)
        assert 0.1 < (votes >= least).mean() < 0.9
        passed, expected = passing(stages, *before, least)[0], windows[votes >= least]
        assert sorted(passed.tolist()) == sorted(expected.tolist())
    assert len(passing(2, Cascade.LEAST_VOTES[0])[0]) < 0.8 * len(passing(2)[0])


def test_missing_cascade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An OpenCV without cascades is an error that says which OpenCV has them."""
    monkeypatch.setattr(cv2, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DetectorError, match=r"haarcascade_frontalface_alt2.*Install opencv-python-headless"):
        Cascade()
