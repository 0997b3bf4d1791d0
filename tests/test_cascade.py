"""What the cascade proposes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import astronaut

from batch.detection.boxes import iou
from batch.detection.detectors.cascade import Cascade
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


def test_missing_cascade(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An OpenCV without cascades is an error that says which OpenCV has them."""
    monkeypatch.setattr(cv2, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(DetectorError, match=r"haarcascade_frontalface_alt2.*Install opencv-python-headless"):
        Cascade()
