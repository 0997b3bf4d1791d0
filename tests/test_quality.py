"""How good a picture of a face is."""

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import skimage.data
from PIL import Image
from skimage.measure import blur_effect
from test_output import publish_all

from batch.detection.faces import CLASSIFY, VERIFY, answered, labelled_faces
from batch.detection.quality import measure_faces
from batch.outcome import Box, Face, ImageFile, Key, Outcome, Proposals, Quality, Status
from batch.settings import DetectorSettings
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


def test_a_box_begins_at_the_nearest_pixel() -> None:
    """Corners of 170.6 and 65.6 are those of 171 and 66."""
    assert measured(GRAY, (170.6, 65.6, 100, 100)) == measured(GRAY, (171, 66, 100, 100))


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
    image = Outcome(ImageFile(Key("/r", "a.jpg"), 1, 1), Status.OK, width=512, height=512, faces=(face,))
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


def looked_at(quality: list[Quality]) -> Proposals:
    """Two faces with three proposals each, the second face the larger one; ``quality`` is that of each proposal."""
    boxes = np.array([[100, 0, 20, 20], [102, 0, 20, 20], [98, 0, 20, 20]] * 2, float)
    boxes[3:] = boxes[3:] * 2 + [300, 0, 0, 0]
    cut = np.arange(6, dtype=np.uint8)[:, None, None] * np.ones((6, 72, 72), np.uint8)
    found = ImageFile(Key("/r", "a.jpg"), 1, 1)
    return Proposals(found, 999, 99, None, boxes, np.full(6, 0.9), cut, np.array(quality), {})


def test_a_face_has_the_quality_of_its_best_proposal() -> None:
    """Through verification, merging and sorting by size, a face keeps what was measured where it is most probable."""
    quality = [Quality(number / 10, number / 20, number / 30) for number in range(6)]
    looks = {0: 0.01, 1: 0.9, 2: 0.8, 3: 0.01, 4: 0.7, 5: 0.9}  # two of them are unlikely at first sight

    def verify(crops: np.ndarray) -> np.ndarray:
        face = np.array([looks[int(crop[24, 24])] for crop in crops])
        return np.column_stack([1 - face, face])

    networks = {VERIFY: verify, CLASSIFY: lambda crops: np.ones((len(crops), 1))}
    outcome = answered(labelled_faces(looked_at(quality), DetectorSettings()), networks.__getitem__)
    assert [face.quality for face in outcome.faces] == [pytest.approx(quality[5]), pytest.approx(quality[1])]


def test_quality_stays_with_its_face(tmp_path: Path) -> None:
    """Through checkpoints, tables and the tables of the next run, each face keeps its numbers."""
    rng = np.random.default_rng(0)

    def annotated(path: str, faces: int) -> Outcome:
        made = [Face(Box(9, 9, 9, 9), 0.9, np.full(2, 0.5), Quality(*rng.random(3))) for _ in range(faces)]
        return Outcome(ImageFile(Key("/r", path), 1, 1), Status.OK, width=99, height=99, faces=tuple(made))

    runs = [[annotated(f"{n}.jpg", n) for n in order] for order in ([3, 0, 2, 5, 1], [4, 2])]
    for outcomes in runs:
        publish_all(tmp_path, *outcomes)
    newest = {one.found.key.path: one.faces for one in [*runs[0], *runs[1]]}
    table = pq.read_table(tmp_path / "faces.parquet").to_pylist()
    read = {(row["path"], row["face"]): tuple(row[name] for name in Quality._fields) for row in table}
    assert read == {
        (path, number): pytest.approx(face.quality)
        for path, faces in newest.items()
        for number, face in enumerate(faces)
    }
