"""Boxes, their overlaps, what is kept of them, and the crops that are cut out: by hand and as OpenCV has them."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score

from batch.detection.boxes import (
    intersection_over_smaller,
    iou,
    non_max_suppression,
    squares_as_of_cascade,
    within_reason,
)
from batch.detection.crop import (
    CONTEXT,
    CROP_SIZE,
    PATCH_SIZE,
    crop_faces,
    crop_from_patch,
    cut_patches,
    verifier_crops,
)
from batch.detection.detectors import cascade, cnn, yunet
from batch.detection.detectors.cnn import PADDING
from batch.detection.glance import cells, standardised
from batch.detection.quality import measure_faces
from batch.detection.verification import merged
from batch.images.decode import Photograph
from batch.settings import DetectorSettings
from batch.workers.worker import find_faces, shrunken
from jobs.training.detection_metrics import curve, match
from jobs.training.windows import FACE, IGNORED, cut_window


def random_boxes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0, 60, (count, 2)), rng.uniform(4, 40, (count, 2))], 1)


def painted(boxes: np.ndarray, size: int = 120) -> np.ndarray:
    """Masks (N, size, size) of boxes with whole sides."""
    masks = np.zeros((len(boxes), size, size), bool)
    for mask, (x, y, width, height) in zip(masks, boxes.astype(int), strict=True):
        mask[y : y + height, x : x + width] = True
    return masks


def test_overlaps_are_counted_pixels() -> None:
    """Intersection over union, and over the smaller box, of painted boxes."""
    boxes = random_boxes(12, 0).round()
    masks = painted(boxes)
    shared = (masks[:, None] & masks[None]).sum(axis=(2, 3))
    areas = masks.sum(axis=(1, 2))
    assert iou(boxes, boxes) == pytest.approx(shared / (areas[:, None] + areas[None] - shared))
    assert intersection_over_smaller(boxes, boxes) == pytest.approx(shared / np.minimum(areas[:, None], areas[None]))


@pytest.mark.parametrize("limit", [0.1, 0.3, 0.5, 0.8])
def test_suppression_keeps_what_opencv_keeps(limit: float) -> None:
    """Of boxes that overlap by more, the better one stays, best first."""
    for seed in range(5):
        boxes = random_boxes(60, seed)
        scores = np.random.default_rng(seed).permutation(60) / 60 + 0.01
        theirs = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, limit)
        assert non_max_suppression(boxes, scores, limit).tolist() == list(theirs)


def test_suppression_at_the_limit_itself() -> None:
    """Boxes that overlap by exactly the limit are two; just beyond it they are one; equals go by position."""
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 10, 10]])
    third = float(iou(boxes[:1], boxes[1:])[0, 0])
    assert non_max_suppression(boxes, np.array([0.5, 0.6]), third).tolist() == [1, 0]
    assert non_max_suppression(boxes, np.array([0.5, 0.6]), third - 1e-9).tolist() == [1]
    assert non_max_suppression(boxes[::-1], np.array([0.5, 0.5]), 0.1).tolist() == [1]
    smaller = np.array([[0.0, 0, 10, 10], [1, 0, 9, 9]])
    assert non_max_suppression(smaller, np.array([0.5, 0.5]), 0.1).tolist() == [0], "the left one, whatever its size"


def test_square_of_a_cascade() -> None:
    """0.92 of the height, in the middle across, 2 % of the height above the middle."""
    assert squares_as_of_cascade(np.array([[100.0, 200, 80, 100]])) == pytest.approx(np.array([[94, 202, 92, 92]]))


@pytest.mark.parametrize(
    ("box", "sensible"),
    [
        ((0, 0, 10, 10), True), ((-9, -9, 10, 10), True), ((-10, 0, 10, 10), False), ((0, -10, 10, 10), False),
        ((59, 0, 5, 5), True), ((60, 0, 5, 5), False), ((0, 39, 5, 5), True), ((0, 40, 5, 5), False),
        ((0, 0, 120, 5), True), ((0, 0, 121, 5), False), ((0, 0, 5, 0), False), ((float("nan"), 0, 5, 5), False),
    ],
)  # fmt: skip
def test_boxes_within_reason(box: tuple[float, ...], sensible: bool) -> None:
    """They reach into the image of 60 x 40 pixels, have sides, and are at most twice as large as it."""
    assert within_reason(np.array([box], float), np.zeros((40, 60), np.uint8)).tolist() == [sensible]


def test_a_face_is_the_mean_of_its_proposals() -> None:
    """Weighted by their probabilities, of those that overlap the best by more than 0.4; others only go."""
    boxes = np.array([[0, 0, 10, 10], [2, 0, 10, 10], [0, 0, 6, 6], [30, 0, 10, 10.0]])
    probabilities = np.array([0.9, 0.6, 0.8, 0.7])
    best, places = merged(boxes, probabilities, 0.5)
    assert best.tolist() == [0, 3]  # the small one lies within the first, and its overlap is 0.36
    assert places[0] == pytest.approx([(0.6 * 2) / 1.5, 0, 10, 10], abs=1e-4)
    assert places[1] == pytest.approx(boxes[3])
    assert merged(boxes, probabilities, 0.5, 0.85)[0].tolist() == [0]
    assert merged(boxes, probabilities, 0.5, 0.95)[0].tolist() == []


@pytest.mark.parametrize(("overlap", "faces"), [(0.5, [0]), (0.6, [0, 1]), (0.7, [0, 1])])
def test_two_faces_side_by_side_are_apart(overlap: float, faces: list[int]) -> None:
    """Boxes that share 0.6 of each are one face or two as is asked for; two have no say in each other's place."""
    boxes, probabilities = np.array([[0, 0, 10, 10], [4, 0, 10, 10.0]]), np.array([0.9, 0.6])
    best, places = merged(boxes, probabilities, overlap)
    assert best.tolist() == faces
    assert places[:, 0] == pytest.approx([4 * 0.6 / 1.5] if len(faces) == 1 else [0, 4], abs=1e-4)


def test_the_threshold_itself_is_a_face() -> None:
    """A probability of exactly the threshold is enough."""
    box = np.array([[0, 0, 9, 9.0]])
    assert len(merged(box, np.array([0.5]), 0.5, 0.5)[0]) == 1
    assert len(merged(box, np.array([0.5]), 0.5, 0.5001)[0]) == 0


# --- crops


GRADIENT = (np.add.outer(np.arange(200), 0.3 * np.arange(260)) * 0.8).round().astype(np.uint8)


def test_a_crop_is_the_square_around_the_box() -> None:
    """The longer side, centred, the mean of the pixels when it shrinks: levels of a slope are where they belong."""
    (crop,) = crop_faces(GRADIENT, np.array([[40, 30, 96, 60.0]])).astype(float)
    step, left, top = 96 / CROP_SIZE, 40, 30 - 18
    columns, rows = left + (np.arange(CROP_SIZE) + 0.5) * step - 0.5, top + (np.arange(CROP_SIZE) + 0.5) * step - 0.5
    assert crop == pytest.approx(0.8 * np.add.outer(rows, 0.3 * columns), abs=1)
    blocks = GRADIENT[12:108, 40:136].reshape(48, 2, 48, 2).mean(axis=(1, 3))
    assert np.abs(crop - blocks).max() <= 0.5


def test_a_small_face_is_enlarged_smoothly() -> None:
    """24 pixels become 48 by cubic interpolation."""
    (crop,) = crop_faces(GRADIENT, np.array([[50, 60, 24, 24.0]]))
    expected = cv2.resize(GRADIENT[60:84, 50:74], (48, 48), interpolation=cv2.INTER_CUBIC)
    assert np.array_equal(crop, expected)


def test_a_crop_beyond_the_border_repeats_it() -> None:
    """On each of the four sides; a box that lies wholly outside is black."""
    rows, columns = GRADIENT.shape
    for x, y in ((-24, 50), (50, -24), (columns - 24, 50), (50, rows - 24)):
        (crop,) = crop_faces(GRADIENT, np.array([[x, y, 48, 48.0]]))
        padded = np.pad(GRADIENT, 24, mode="edge")
        assert np.array_equal(crop, padded[y + 24 : y + 72, x + 24 : x + 72])
    assert (crop_faces(GRADIENT, np.array([[500, 500, 40, 40.0]])) == 0).all()


def test_a_patch_has_half_as_much_again_around_the_box() -> None:
    """72 pixels for a box of 48, centred; the verifier sees all of it in 48."""
    assert (CONTEXT, PATCH_SIZE) == (1.5, 72)
    patches = cut_patches(GRADIENT, np.array([[60, 50, 48, 48.0]]))
    assert np.array_equal(patches[0], GRADIENT[38:110, 48:120])
    (seen,) = verifier_crops(patches)
    assert np.array_equal(seen, cv2.resize(GRADIENT[38:110, 48:120], (48, 48), interpolation=cv2.INTER_AREA))


@pytest.mark.parametrize("face", [[60.0, 50, 48, 48], [66, 47, 40, 40], [55, 52, 60, 50]])
def test_a_face_is_cut_out_of_its_patch_where_it_lies(face: list[float]) -> None:
    """Level by level what SciPy's cubic splines read at the same places of the photograph."""
    patch = cut_patches(GRADIENT, np.array([[60, 50, 48, 48.0]]))[0]
    found = crop_from_patch(patch, np.array([60, 50, 48, 48.0]), np.array(face)).astype(float)
    x, y, width, height = face
    side = max(width, height)
    across = x + width / 2 + ((np.arange(48) + 0.5) / 48 - 0.5) * side - 0.5
    down = y + height / 2 + ((np.arange(48) + 0.5) / 48 - 0.5) * side - 0.5
    expected = ndimage.map_coordinates(GRADIENT.astype(float), np.meshgrid(down, across, indexing="ij"), order=3)
    assert found == pytest.approx(expected, abs=1.5)


def test_a_face_as_large_as_its_proposal_is_pixels_of_the_patch() -> None:
    """Three to the right and four up of a box whose patch is as large as in the photograph: no pixel between two."""
    noise = np.random.default_rng(0).integers(0, 256, (200, 260), np.uint8)
    around = np.array([60.0, 50, 48, 48])
    (patch,) = cut_patches(noise, around[None])
    crop = crop_from_patch(patch, around, around + np.array([3, -4, 0, 0]))
    assert np.array_equal(crop, noise[46:94, 63:111])


def test_a_patch_is_as_large_as_its_boxs_longer_side_asks() -> None:
    """A wide box has the patch, and in it the faces, of the square around it."""
    wide, square, face = (np.array(box, float) for box in ([60, 50, 48, 30], [60, 41, 48, 48], [62, 40, 44, 44]))
    crops = [crop_from_patch(cut_patches(GRADIENT, box[None])[0], box, face) for box in (wide, square)]
    assert np.array_equal(*crops)


@pytest.mark.parametrize(("x", "y", "left", "top"), [(40.6, 30.7, 41, 31), (40.4, 30.3, 40, 30), (39.6, 31.4, 40, 31)])
def test_a_crop_begins_at_the_nearest_pixel(x: float, y: float, left: int, top: int) -> None:
    """A box of 48 pixels becomes 48 of the photograph's, from the nearest on."""
    (crop,) = crop_faces(GRADIENT, np.array([[x, y, 48, 48]]))
    assert np.array_equal(crop, GRADIENT[top : top + 48, left : left + 48])


def test_cells_are_means_and_standardised_by_their_spread() -> None:
    """A window of 40 with its surroundings of 60 becomes 20 x 20 means of 3 x 3 pixels, with mean 0 and spread 1."""
    (patch,) = cells(GRADIENT, np.array([[80.0, 60, 40, 40]]))
    expected = GRADIENT[50:110, 70:130].reshape(20, 3, 20, 3).mean(axis=(1, 3))
    assert np.abs(patch - expected).max() <= 0.5
    (plain,) = standardised(patch[None])
    assert plain == pytest.approx((patch - patch.mean()) / (patch.std() + 4), abs=1e-4)


# --- what the detectors see and say


@pytest.mark.parametrize(
    ("shape", "seen"), [((300, 400), (300, 400)), ((640, 1280), (320, 640)), ((3000, 2000), (640, 427))]
)
def test_large_images_are_shrunk_to_the_long_side(shape: tuple[int, int], seen: tuple[int, int]) -> None:
    """Never enlarged, by the mean of the pixels, with their proportions."""
    columns = np.tile(np.linspace(0, 255, shape[1]), (shape[0], 1)).astype(np.uint8)
    small = shrunken(columns, 640)
    assert small.shape == seen
    middles = (np.arange(seen[1]) + 0.5) * shape[1] / seen[1] - 0.5
    assert np.abs(small[0] - np.interp(middles, np.arange(shape[1]), columns[0])).max() <= 1.5


def test_a_large_image_is_halved_before_it_is_shrunk_to_size() -> None:
    """From twice the size on, and as often as that is possible: each time the mean of 2 x 2 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (500, 500), np.uint8)

    def area(gray: np.ndarray, side: int) -> np.ndarray:
        return cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)

    assert np.array_equal(shrunken(noise, 260), area(noise, 260))
    assert np.array_equal(shrunken(noise, 240), area(area(noise, 250), 240))
    assert np.array_equal(shrunken(noise, 100), area(area(area(noise, 250), 125), 100))


class Told:
    """A detector that answers what it is told."""

    def __init__(self, boxes: list[list[float]], scores: list[float]) -> None:
        self.answer = np.array(boxes), np.array(scores)

    def detect(self, _gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The boxes, whatever the image."""
        return self.answer


def test_boxes_come_back_to_the_full_size() -> None:
    """Seen at a quarter of the photograph's width, decoded at half of it: four times as large as they were seen."""
    photograph = Photograph(np.zeros((200, 400), np.uint8), 800, 400, None)
    told = Told([[10, 20, 30, 40], [50, 60, 30, 40]], [0.6, 0.59])  # the threshold itself is enough
    boxes, scores, crops, *_ = find_faces(photograph, told, DetectorSettings("yunet", 200, face_threshold=0.6))
    assert (boxes.tolist(), scores.tolist(), crops.shape) == ([[40, 80, 120, 160]], [0.6], (1, 48, 48))
    boxes, _, patches, *_ = find_faces(photograph, told, DetectorSettings("cascade", 200))
    assert (len(boxes), patches.shape) == (2, (2, 72, 72))  # the verifier decides


def test_rows_and_columns_come_back_each_by_its_own_share() -> None:
    """400 x 5 pixels are seen as 200 x 2, and the photograph has 800 x 15: 4 across, 2.5 times 3 down."""
    told = Told([[10, 1, 30, 1]], [0.7])
    photograph = Photograph(np.zeros((5, 400), np.uint8), 800, 15, None)
    boxes, *_ = find_faces(photograph, told, DetectorSettings("yunet", 200))
    assert boxes.tolist() == [[40, 7.5, 120, 7.5]]


def test_quality_is_measured_in_the_decoded_image() -> None:
    """Where there is more detail than the detector sees: a box of 40 pixels is one of 160."""
    gray = np.random.default_rng(0).integers(0, 256, (400, 400), np.uint8)
    told = Told([[20, 20, 40, 40]], [0.7])
    *_, quality = find_faces(Photograph(gray, 400, 400, None), told, DetectorSettings("yunet", 100))
    assert quality == pytest.approx(measure_faces(gray, np.array([[80.0, 80, 160, 160]])))


def test_places_of_the_maps_become_boxes() -> None:
    """Row 1, column 2 of the map with stride 16, half a stride to the right, twice as wide as the stride."""
    maps = [np.full((64 // stride, 64 // stride, 5), -9.0) for stride in cnn.STRIDES]
    maps[1][1, 2] = [2, 0.5, -0.25, np.log(2), np.log(1.5)]
    boxes, scores = cnn.faces_in(maps, 0.05)
    assert scores == pytest.approx([1 / (1 + np.exp(-2))])
    assert boxes == pytest.approx(np.array([[40 + 8 - 16, 24 - 4 - 12, 32, 24]]))
    maps[1][1, 3] = [1, -0.5, -0.25, np.log(2), np.log(1.5)]  # the same box, less sure
    assert len(cnn.faces_in(maps, 0.05)[0]) == 1
    assert len(cnn.faces_in(maps, 0.9)[0]) == 0
    maps[1][1, 2, 3:] = 9
    assert cnn.faces_in(maps, 0.85)[0][0, 2:] == pytest.approx(np.full(2, 16 * np.exp(4)))


@pytest.mark.parametrize(("apart", "faces"), [(11.25, 1), (13, 2)])
def test_boxes_of_the_maps_that_overlap_are_one_face(apart: float, faces: int) -> None:
    """Squares of 32 pixels share 0.48 where they are 11.25 pixels apart, and 0.42 at 13; the limit is 0.45."""
    maps = [np.full((64 // stride, 64 // stride, 5), -9.0) for stride in cnn.STRIDES]
    maps[1][1, 1] = [2, 0, 0, np.log(2), np.log(2)]
    maps[1][1, 2] = [1, apart / 16 - 1, 0, np.log(2), np.log(2)]
    assert len(cnn.faces_in(maps, 0.05)[0]) == faces


@pytest.mark.parametrize(("shape", "padded"), [((640, 640), (640, 640)), ((480, 640), (480, 640)),
    ((100, 640), (320, 640)), ((500, 640), (640, 640)), ((641, 300), (672, 352)), ((20, 10), (32, 32))])  # fmt: skip
def test_images_are_padded_to_a_few_shapes(shape: tuple[int, int], padded: tuple[int, int]) -> None:
    """The smallest of five shapes that holds the image, the image in the upper left, gray beside it."""
    image = np.full(shape, 5, np.uint8)
    found = cnn.letterboxed(image)
    assert found.shape == padded
    assert (found[: shape[0], : shape[1]] == 5).all()
    assert (found == 127).sum() == found.size - image.size


def test_a_cascades_votes_rank_its_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that overlap by more than 0.65 are one, most votes first, at most one per two pixels of the long side."""

    class Windows:
        def detectMultiScale3(self, _gray: np.ndarray, **options: object) -> tuple[np.ndarray, None, np.ndarray]:  # noqa: N802
            assert (options["scaleFactor"], options["minSize"], options["minNeighbors"]) == (1.15, (20, 20), 0)
            boxes = np.array([[0, 0, 20, 20], [4, 0, 20, 20], [9, 0, 20, 20], [30, 0, 20, 20]])
            return boxes, None, np.array([[0.5], [2.0], [1.0], [-1.0]])

    built = cascade.Cascade()
    monkeypatch.setattr(built, "_cascade", Windows())
    found = built.detect(np.zeros((50, 60), np.uint8))
    boxes, scores = found
    assert boxes[:, 0].tolist() == [4, 9, 30], "the first shares 0.67 with the second, the third 0.6"
    assert scores == pytest.approx(1 / (1 + np.exp([-2.0, -1, 1])))
    assert [len(built.detect(np.zeros(shape, np.uint8))[0]) for shape in ((4, 4), (2, 4), (4, 2))] == [2, 2, 2]


def test_yunets_boxes_become_squares_and_its_scores_probabilities() -> None:
    """It gives up to a little more than 1; boxes that overlap by more than 0.3 are one, by OpenCV's default."""

    class Found:
        def setInputSize(self, size: tuple[int, int]) -> None:  # noqa: N802
            assert size == (60, 50)

        def detect(self, colours: np.ndarray) -> tuple[int, np.ndarray]:
            assert colours.shape == (50, 60, 3)
            answers = np.zeros((3, 15), np.float32)
            answers[:, :4] = [[0, 0, 100, 100], [0, 0, 100, 35], [0, 0, 25, 100]]
            answers[:, -1] = 1.02, 0.9, 0.8
            return 1, answers

    built = object.__new__(yunet.YuNet)
    built._detector = Found()
    boxes, scores = built.detect(np.zeros((50, 60), np.uint8))
    assert boxes == pytest.approx(squares_as_of_cascade(np.array([[0, 0, 100, 100], [0, 0, 25, 100.0]])))
    assert scores == pytest.approx([1, 0.8])
    assert scores.max() <= 1


def test_thresholds_and_looks_by_detector() -> None:
    """What the README says of each; a threshold given holds for all."""
    assert {name: DetectorSettings(name).threshold for name in ("cascade", "cnn", "yunet")} == {
        "cascade": 0.5, "cnn": 0.38, "yunet": 0.6,
    }  # fmt: skip
    assert DetectorSettings("cnn", face_threshold=0.0).threshold == 0
    assert [DetectorSettings(name).spec.verified for name in ("cascade", "cnn", "yunet")] == [True, True, False]
    assert [DetectorSettings(name).spec.weight for name in ("cascade", "cnn")] == [0, 3]
    assert [DetectorSettings(name).spec.overlap for name in ("cascade", "cnn")] == [0.5, 0.7]


# --- figures of detection


def test_average_precision_is_scikit_learns() -> None:
    """Where every face is found and precision never rises again, the areas under the curves are the same."""
    faces = np.array([[200.0 * i, 0, 100, 100] for i in range(6)])
    wrong = np.array([[200.0 * i, 500, 100, 100] for i in range(4)])
    scores = np.array([0.99, 0.97, 0.95, 0.9, 0.5, 0.4, 0.93, 0.6, 0.45, 0.2])
    boxes = np.concatenate([faces, wrong])
    found = curve([(scores, match(boxes, scores, faces, 1024))])
    hits = np.repeat([1, 0], [6, 4])
    assert found.recall[-1] == 1
    best = found.precision[np.argsort(found.recall, kind="stable")]
    interpolated = found.average_precision
    assert interpolated >= average_precision_score(hits, scores) - 1e-9
    steps = np.diff(np.concatenate([[0], found.recall]))
    assert interpolated == pytest.approx(sum(s * best[i:].max() for i, s in enumerate(steps)))
    sure = np.where(hits == 1, 0.9 + scores / 100, scores / 2)
    perfect = curve([(sure, match(boxes, sure, faces, 1024))])
    assert perfect.average_precision == pytest.approx(average_precision_score(hits, sure)) == 1


def test_curve_over_photographs_by_hand() -> None:
    """Two photographs with three faces asked for: thresholds from high to low, equal scores as one step."""
    one, two = np.array([[0.0, 0, 90, 90], [200, 0, 90, 90]]), np.array([[0.0, 0, 90, 90]])
    first = np.array([0.9, 0.5]), match(one, np.array([0.9, 0.5]), one[:1], 1024)
    second = np.array([0.5]), match(two, np.array([0.5]), np.concatenate([two, [[500, 0, 90, 90]]]), 1024)
    found = curve([first, second])
    assert found.threshold.tolist() == [0.9, 0.5]
    assert found.recall == pytest.approx([1 / 3, 2 / 3])
    assert found.precision == pytest.approx([1, 2 / 3])
    assert found.at_threshold(0.9) == pytest.approx((1 / 3, 1))
    assert found.at_threshold(0.51) == pytest.approx((1 / 3, 1))
    assert found.at_threshold(0.95) == (0, 1)


def test_a_fit_at_the_limit_is_a_hit_and_the_better_box_has_the_face() -> None:
    """IoU 0.35 is enough and less is not; of two boxes on one face the surer one is the hit."""
    face = np.array([[0.0, 0, 100, 100]])
    exact, short = np.array([[0.0, 0, 100, 35]]), np.array([[0.0, 0, 100, 34.9]])
    assert match(exact, np.ones(1), face, 1024).hit.tolist() == [1]
    assert match(short, np.ones(1), face, 1024).hit.tolist() == [0]
    both = match(np.concatenate([face, face]), np.array([0.4, 0.6]), face, 1024)
    assert both.hit.tolist() == [0, 1]
    assert both.score.tolist() == [0.6]
    assert match(short, np.ones(1), face, 1024).score.tolist() == [-np.inf]


def test_sizes_that_count() -> None:
    """Faces of 40 pixels in a width of 1024 and 25 in 640 are asked for; boxes under 32 and 20 are left out."""
    for long_side, least in ((1024, 40), (640, 25), (2048, 40)):
        faces = np.array([[0.0, 0, least, 90], [200, 0, least - 0.1, 90]])
        assert match(faces[:0], np.ones(0), faces, long_side).asked.tolist() == [True, False]
        boxes = np.array([[500.0, 0, 0.8 * least, 5], [600, 0, 0.8 * least - 0.1, 5]])
        assert match(boxes, np.ones(2), faces, long_side).hit.tolist() == [0, -1]


def test_a_face_is_of_one_size() -> None:
    """One that is just as large as a limit belongs to the larger faces, and to no others."""
    face = np.array([[0.0, 0, 80, 90]])
    counted = [match(face[:0], np.ones(0), face, 1024, sizes=sizes).asked.tolist() for sizes in ((40, 80), (80, 160))]
    assert counted == [[False], [True]]


# --- the windows that the detector is trained on


def test_faces_of_a_window_are_where_its_pixels_are() -> None:
    """A bright rectangle in a gray photograph: its box in the window holds it, shrunk, enlarged or mirrored."""
    gray = np.full((600, 800), PADDING, np.uint8)
    gray[240:330, 300:360] = 220
    face = np.array([[300.0, 240, 60, 90]])
    mirrored = set()
    for seed in range(60):
        window = cut_window(gray, face, np.zeros((0, 4)), 128, None, np.random.default_rng(seed))
        if len(window.faces) != 1 or window.faces[0, 4] != FACE:
            continue
        left, top, right, bottom = window.faces[0, :4]
        smooth = cv2.medianBlur(window.pixels, 5)
        bright = smooth > (int(smooth.max()) + int(np.median(smooth))) / 2
        rows, columns = np.nonzero(bright)
        assert (columns.min(), rows.min()) == pytest.approx((left, top), abs=2)
        assert (columns.max() + 1, rows.max() + 1) == pytest.approx((right, bottom), abs=2)
        mirrored.add(round(float(left)))
    assert len(mirrored) > 10


def test_which_faces_of_a_window_are_asked_for() -> None:
    """From 16 pixels of height and half of the face on; less is ignored, and a tenth or less is not there."""
    from jobs.training import windows

    tall, small, cut, gone = [10, 10, 30, 26], [10, 10, 30, 25.9], [-21, 10, 19, 60], [-91, 10, 8.9, 60]
    kinds = windows._with_kind(np.array([tall, small, cut, gone], float), 128)
    assert kinds[:, 4].tolist() == [FACE, IGNORED, IGNORED]
    assert kinds[2, :4].tolist() == [0, 10, 19, 60]
    half = windows._with_kind(np.array([[-20.0, 10, 20, 60]]), 128)
    assert half[0, 4] == FACE


def test_no_file_of_a_machine_is_needed(tmp_path: Path) -> None:
    """A detector's identity has its threshold and size, and changes with either."""
    one, two, three = DetectorSettings(), DetectorSettings(face_threshold=0.7), DetectorSettings(detect_size=480)
    assert one.identity() != two.identity() != three.identity() != one.identity()
    (tmp_path / "a.onnx").write_bytes(b"a")
    assert DetectorSettings("cnn", model=tmp_path / "a.onnx").identity()["model"].startswith("ca978112ca1bbdca")
