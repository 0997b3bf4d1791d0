"""What a worker makes of an image: boxes in upright full-size pixels and crops from the best resolution."""

import os
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import WORKER, annotate_chunk, astronaut
from PIL import Image

from batch.detection.boxes import iou
from batch.detection.crop import crop_faces
from batch.errors import RootError
from batch.images.decode import read_photograph
from batch.outcome import VANISHED, ImageFile, Key, Proposals, Result, Status
from batch.plan import Plan
from batch.roots.walk import WalkSettings
from batch.settings import DetectorSettings, WorkerSettings
from batch.tables.schema import image_rows
from batch.tables.snapshot import known_images
from batch.workers import worker
from batch.workers.worker import annotate_image, shrunken

FACE = np.array([[170, 65, 110, 110]])  # where the astronaut's face is, by eye


def outcome(image: Image.Image, file: Path) -> Result:
    image.save(file)
    return annotate_image(ImageFile(Key(str(file.parent), file.name), 1, 1), WorkerSettings())


@pytest.mark.parametrize("scale", [0.5, 1, 3, 8])
def test_boxes_are_in_full_size_pixels(scale: float, tmp_path: Path) -> None:
    """The astronaut's face is proposed where it is, at any size of the photograph."""
    size = round(512 * scale)
    found = outcome(astronaut().resize((size, size)), tmp_path / "a.jpg")
    assert isinstance(found, Proposals) and found.width == size
    assert iou(FACE * scale, found.boxes).max() > 0.4
    assert found.cut.shape == (len(found.boxes), 72, 72)


def test_crops_are_sharper_than_the_detectors_image(tmp_path: Path) -> None:
    """A face that is small in the detector's image is cut out of a larger one."""
    wide = Image.new("RGB", (2000, 2000), "gray")
    wide.paste(astronaut(), (700, 700))
    found = outcome(wide, tmp_path / "a.png")
    assert isinstance(found, Proposals)
    face = iou(FACE + np.array([700, 700, 0, 0]), found.boxes).argmax()
    patch = found.cut[face].astype(float)
    small = Image.fromarray(found.cut[face]).resize((48, 48)).resize((72, 72))
    assert np.abs(patch - np.asarray(small, float)).mean() > 3


@pytest.mark.parametrize("detect_size", [480, 640])
def test_twice_what_the_detector_sees_is_decoded(detect_size: int, tmp_path: Path) -> None:
    """A photograph of four times its long side is decoded at half the size, and not at a quarter."""
    settings = WorkerSettings(DetectorSettings(detect_size=detect_size))
    astronaut().resize((4 * detect_size, 100)).save(tmp_path / "a.jpg")
    gray = read_photograph(tmp_path / "a.jpg", settings.max_pixels, settings.decode_long_side).gray
    assert gray.shape == (50, 2 * detect_size)


def test_image_without_a_face(tmp_path: Path) -> None:
    """In an image without anything nothing is proposed."""
    found = outcome(Image.new("L", (400, 300), 90), tmp_path / "a.png")
    assert isinstance(found, Proposals) and len(found.boxes) == len(found.scores) == len(found.cut) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (20000, 2), (47, 47)])
def test_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    """One pixel, hair-thin and tiny images are images like any other."""
    found = outcome(Image.new("L", size, 128), tmp_path / "a.png")
    assert isinstance(found, Proposals) and (found.width, found.height) == size


@pytest.mark.parametrize("size", [(641, 200), (1279, 959), (1281, 960), (2000, 1500), (1501, 3001)])
def test_what_the_detector_sees_is_the_photograph_made_smaller(size: tuple[int, int]) -> None:
    """At any size: the long side as asked, the picture neither moved nor coarsened."""
    columns, rows = size
    gray = np.asarray(astronaut().convert("L").resize(size))
    seen = shrunken(gray, 640)
    shrink = 640 / max(size)
    assert seen.shape == (max(1, round(rows * shrink)), max(1, round(columns * shrink)))
    averaged = cv2.resize(gray, seen.shape[::-1], interpolation=cv2.INTER_AREA)
    assert np.abs(seen.astype(float) - averaged).mean() < 2
    assert abs(seen.mean() - gray.mean()) < 1


def test_a_small_photograph_is_seen_as_it_is() -> None:
    """Nothing is enlarged."""
    gray = np.asarray(astronaut().convert("L"))
    assert shrunken(gray, 640) is gray


def test_crop_beyond_the_border_repeats_it() -> None:
    """A box that reaches over the border is filled with the border's pixels; one far outside is black."""
    gray = np.full((50, 50), 90, np.uint8)
    crops = crop_faces(gray, np.array([[-20, -20, 60, 60], [30, 30, 200, 100], [500, 500, 10, 10]]))
    assert (crops.shape, crops.dtype) == ((3, 48, 48), np.uint8)
    assert (crops[:2] == 90).all() and (crops[2] == 0).all()


def test_a_root_that_vanishes_is_no_heap_of_unreadable_images(tmp_path: Path) -> None:
    """A disk that goes away under the run ends it; a single image that goes away is a row."""
    gone = [ImageFile(Key(str(tmp_path / "disk"), "a.jpg"), 1, 1)]
    (tmp_path / "disk").mkdir()
    with pytest.raises(RootError, match="vanished"):
        annotate_chunk(gone, WorkerSettings())
    (tmp_path / "disk").rmdir()
    with pytest.raises(RootError, match="vanished"):
        annotate_chunk(gone, WorkerSettings())
    astronaut().save(tmp_path / "b.jpg")
    [row] = annotate_chunk([ImageFile(Key(str(tmp_path), "a.jpg"), 1, 1)], WorkerSettings())
    assert row.status is Status.UNREADABLE


class Greedy:
    """A detector that needs more memory than any machine has."""

    def __init__(self, wants: str) -> None:
        self._wants = wants

    def detect(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ask for it, of OpenCV or of NumPy."""
        if self._wants == "OpenCV":
            cv2.copyMakeBorder(gray, *[2**30 - 100] * 4, cv2.BORDER_REPLICATE)
        if self._wants == "NumPy":
            np.empty((2**50,))
        return cv2.resize(gray, (0, 0)), gray


@pytest.mark.parametrize("wants", ["OpenCV", "NumPy"])
def test_too_little_memory_to_find_faces(wants: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image for whose faces there is no memory is a row that says so, with its size."""
    monkeypatch.setattr(worker, "shared_detector", lambda _: Greedy(wants))
    found = outcome(Image.new("L", (64, 48)), tmp_path / "a.png")
    assert (found.status, found.width, found.height) == (Status.TOO_LARGE, 64, 48)
    assert "not enough memory" in str(found.error)


def test_what_detection_raises_costs_that_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenCV refuses for another reason than memory is a row that says so, and tells of the mistake."""
    monkeypatch.setattr(worker, "shared_detector", lambda _: Greedy("nonsense"))
    found = outcome(Image.new("L", (64, 48)), tmp_path / "a.png")
    assert (found.status, found.width, found.height, found.doubtful) == (Status.CRASHED, 64, 48, True)
    assert "the detector failed on it: error: OpenCV" in str(found.error)


def test_a_photograph_that_changes_after_the_walk_has_the_row_of_what_was_read(tmp_path: Path) -> None:
    """The next run does it again if it is another one by then, also the one that was listed first."""
    astronaut().save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[:1000])
    walk, images = WalkSettings(include=("a.png",)), tmp_path / "images"
    [found] = Plan((tmp_path,), walk)
    (tmp_path / "a.png").rename(tmp_path / "keep")
    (tmp_path / "b.png").rename(tmp_path / "a.png")
    half = annotate_image(found, WORKER)
    assert (half.status, half.found.size_bytes) == (Status.UNREADABLE, 1000)
    pq.write_table(image_rows([half]), images)
    assert list(Plan((tmp_path,), walk, known_images([images]))) == []
    (tmp_path / "keep").replace(tmp_path / "a.png")
    assert list(Plan((tmp_path,), walk, known_images([images]))) == [found]
    whole_row = annotate_image(found, WORKER)
    assert (whole_row.status, whole_row.found) == (Status.OK, found)


def test_another_machine_may_tell_the_time_less_exactly(tmp_path: Path) -> None:
    """A second less is the same photograph, ten are another one: else each run would do it again."""
    astronaut().save(tmp_path / "a.png")
    [listed] = Plan((tmp_path,), WalkSettings())
    for seconds, same in ((1, True), (-1, True), (10, False), (-10, False)):
        found = listed._replace(modified_ns=listed.modified_ns + seconds * 10**9)
        assert annotate_image(found, WORKER).found == (found if same else listed)


def test_a_time_that_no_table_can_hold(tmp_path: Path) -> None:
    """The walk and the worker tell the same of it."""
    astronaut().save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (10**10, 10**10))  # in the year 2286; nanoseconds in 64 bits end in 2262
    if (tmp_path / "a.png").stat().st_mtime != 10**10:
        pytest.skip("the file system knows no such time")
    [found] = Plan((tmp_path,), WalkSettings())
    row = annotate_image(found._replace(size_bytes=1), WORKER)
    assert row.found == found
    assert image_rows([row]).num_rows == 1


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_any_more_has_vanished(kind: str, tmp_path: Path) -> None:
    """A pipe is not waited for, and a device not read."""
    os.mkfifo(tmp_path / "a.jpg") if kind == "pipe" else (tmp_path / "a.jpg").symlink_to("/dev/zero")
    row = annotate_image(ImageFile(Key(str(tmp_path), "a.jpg"), 1, 1), WORKER)
    assert (row.status, row.error) == (Status.UNREADABLE, VANISHED)
