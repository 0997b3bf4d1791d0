"""Every detector, on images of any shape."""

from functools import cache

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import example, given, settings
from hypothesis import strategies as st

from batch.detection.boxes import within_reason
from batch.detection.detect import Detector, build_detector
from batch.images.decode import Photograph
from batch.settings import DETECTORS, DetectorSettings
from batch.workers.worker import find_faces
from model.bundle import DETECTOR_MODEL, GLANCE_MODEL

YUNET = SHARED / "yunet" / "face_detection_yunet_2023mar.onnx"
LONGEST, LEVELS = 6000, ("flat", "noise")


@cache
def detector(name: str) -> tuple[Detector, DetectorSettings]:
    made = DetectorSettings(name, model=YUNET if name == "yunet" else DETECTOR_MODEL, glance=GLANCE_MODEL)
    return build_detector(made), made


@pytest.mark.parametrize("name", DETECTORS)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    long=st.integers(1, LONGEST),
    short=st.integers(1, 300),
    upright=st.booleans(),
    level=st.sampled_from(["flat", "noise"]),
)
@example(long=201, short=1, upright=True, level="flat")
@example(long=201, short=1, upright=False, level="noise")
@example(long=6000, short=20, upright=True, level="noise")
@example(long=6000, short=20, upright=False, level="flat")
@example(long=1, short=1, upright=True, level="flat")
@example(long=641, short=2, upright=True, level="noise")
def test_any_shape(name: str, long: int, short: int, upright: bool, level: str) -> None:
    """No shape makes a detector fail; what it finds lies in the image."""
    if name == "yunet" and not YUNET.is_file():
        pytest.skip("no YuNet model")
    shape = (long, short) if upright else (short, long)
    gray = np.full(shape, 128, np.uint8)
    if level == "noise":
        gray = np.random.default_rng(long * short).integers(0, 255, shape, np.uint8)
    built, made = detector(name)
    boxes, scores, cut, quality = find_faces(Photograph(gray, shape[1], shape[0], None), built, made)
    assert len(boxes) == len(scores) == len(cut) == len(quality)
    assert within_reason(boxes, gray).all()
