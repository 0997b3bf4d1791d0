"""How good a picture of a face is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from PIL import Image
from skimage.measure import blur_effect

from batch.detection.quality import measure_faces
from batch.outcome import Box, Face, Found, Key, Outcome, Quality, Status
from batch.tables.schema import face_rows

GRAY = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
FACE = (170, 65, 100, 100)


def measured(gray: np.ndarray, box: tuple[float, ...] = FACE, scale: float = 1.0) -> Quality:
    shrunken = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return Quality(*measure_faces(shrunken, np.array([box]) * scale)[0])


def test_sharpness_is_that_of_the_paper() -> None:
    """scikit-image's implementation of the same paper gives the same number for the face at 64 pixels."""
    face = cv2.resize(GRAY[65:165, 170:270], (64, 64), interpolation=cv2.INTER_AREA)
    assert measured(GRAY).sharpness == pytest.approx(1 - blur_effect(face / 255), abs=1e-5)


def test_more_blur_is_less_sharpness() -> None:
    """Sharpness falls with every bit of blur, from one percent of the face's side on."""
    blurred = [cv2.GaussianBlur(GRAY, (0, 0), sigma) for sigma in (1, 2, 4, 8)]
    sharpness = [measured(gray).sharpness for gray in (GRAY, *blurred)]
    assert sharpness == sorted(sharpness, reverse=True) and sharpness[0] - sharpness[1] > 0.03


def test_brightness_and_contrast() -> None:
    """Half the light halves both and leaves sharpness alone."""
    whole, half = measured(GRAY), measured(GRAY // 2)
    assert whole.brightness == pytest.approx(GRAY[65:165, 170:270].mean() / 255, abs=1e-3)
    assert (half.brightness, half.contrast) == pytest.approx((whole.brightness / 2, whole.contrast / 2), abs=3e-3)
    assert half.sharpness == pytest.approx(whole.sharpness, abs=0.02)


@pytest.mark.parametrize("scale", [0.5, 0.7, 0.9])
def test_a_face_of_fewer_pixels(scale: float) -> None:
    """The same face in a smaller photograph is as sharp, bright and rich in contrast."""
    assert measured(GRAY, scale=scale) == pytest.approx(measured(GRAY), abs=0.015)


def test_a_face_of_very_few_pixels() -> None:
    """A face that is small in its photograph has less detail than a large one, and is less sharp."""
    assert measured(GRAY, scale=0.2).sharpness < measured(GRAY).sharpness - 0.05


def test_real_faces_in_photographs_of_different_sizes(shared_data: Path) -> None:
    """Large faces keep their sharpness in photographs of half and a third of the size, and lose it when blurred."""
    boxes = json.loads((shared_data / "wider" / "boxes.json").read_text())
    large = [
        (name, tuple(box))
        for name, image in boxes.items()
        if name.startswith("full/")
        for box in image["boxes_xywh"]
        if min(box[2:]) >= 200
    ]
    assert len(large) > 20
    for name, box in large:
        gray = np.asarray(Image.open(shared_data / "wider" / name).convert("L"))
        sharpness = measured(gray, box).sharpness
        assert [measured(gray, box, scale).sharpness for scale in (0.5, 0.35)] == pytest.approx(
            [sharpness] * 2, abs=0.02
        )
        blurred = cv2.GaussianBlur(gray, (0, 0), 0.02 * max(box[2:]))
        assert measured(blurred, box).sharpness < sharpness - 0.05


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0, 5, 9, 9), True),
        ((1, 1, 9, 9), False),
        ((491, 1, 20, 20), False),
        ((492, 1, 20, 20), True),
        ((3, 502, 9, 10), True),
    ],
)
def test_faces_that_touch_the_border(box: tuple[int, ...], expected: bool) -> None:
    """A face whose box reaches the photograph's border may be cut off."""
    face = Face(Box(*box), 0.9, np.array([1.0]), Quality(0.6, 0.5, 0.25))
    image = Outcome(Found(Key("/r", "a.jpg"), 1, 1), Status.OK, width=512, height=512, faces=(face,))
    (row,) = face_rows([image], ("joy",)).to_pylist()
    assert row["touches_border"] is expected
    assert row["sharpness"] == pytest.approx(0.6)


@pytest.mark.parametrize("box", [(-5, -5, 2, 2), (600, 10, 9, 9), (10, 10, 0.1, 50), (-9, 20, 11, 2), (511, 511, 9, 9)])
def test_boxes_that_hold_next_to_nothing(box: tuple[float, ...]) -> None:
    """Whatever box a detector comes up with: finite numbers from 0 to 1."""
    assert all(0 <= number <= 1 for number in measured(GRAY, box))


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_face_of_one_gray_level(level: int) -> None:
    """Where nothing can be told apart nothing is sharp."""
    quality = measured(np.full((200, 200), level, np.uint8), (50, 50, 60, 60))
    assert quality == (0.0, pytest.approx(level / 255), pytest.approx(0.0, abs=1e-6))
