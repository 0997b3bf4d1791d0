"""What the face detector learns from: each formula again in plain NumPy, and who answers for which face."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from scipy.special import expit

from batch.detection import boxes as plain
from batch.detection.detectors import cnn
from batch.errors import DetectorError, NetworkError
from model.detector import training as detector_training
from model.detector.loss import FACE, IGNORED, assigned, decoded, detector_loss, generalised_iou, iou
from model.detector.network import anchor_points, detector_network, flattened, inference_detector
from model.detector.training import MISSED, MOST_FACES, DetectorTraining, WindowBatches, train_detector
from model.errors import TrainingError
from model.layers import check_fits, start_from

CENTRES = np.array([[4, 4], [12, 4], [20, 4], [28, 4]], "float32")
STRIDES = np.full(4, 8, "float32")


def corners(boxes: np.ndarray) -> np.ndarray:
    """x, y, width, height as left, top, right, bottom."""
    return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], axis=-1)


def random_boxes(count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0, 60, (count, 2)), rng.uniform(4, 40, (count, 2))], 1).astype("float32")


def numbers(*arrays: Any) -> list[np.ndarray]:
    return [np.asarray(array) for array in arrays]


def test_iou_is_that_of_the_other_room() -> None:
    """Boxes as corners overlap as far as those of ``batch`` do, which are corner and sides."""
    one, other = random_boxes(50, 0), random_boxes(50, 1)
    assert np.asarray(iou(corners(one), corners(other))) == pytest.approx(np.diag(plain.iou(one, other)), abs=1e-4)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([0, 0, 10, 10], 1),
        ([0, 0, 10, 5], 0.5),  # what is around both is the larger box: no part of it is in neither
        ([10, 0, 20, 10], 0),  # side by side they fill what is around both
        ([30, 0, 40, 10], -0.5),  # 20 of 40 columns are in neither
        ([5, 5, 15, 15], 25 / 175 - 50 / 225),
    ],
)
def test_generalised_iou_by_hand(box: list[float], expected: float) -> None:
    """Rezatofighi et al. 2019: IoU less the share of the hull in neither box, whichever comes first."""
    first, second = np.array([0.0, 0, 10, 10], "float32"), np.array(box, "float32")
    assert float(generalised_iou(first, second)) == pytest.approx(expected, abs=1e-5)
    assert float(generalised_iou(second, first)) == pytest.approx(expected, abs=1e-5)


def test_boxes_are_decoded_alike_where_they_are_trained_and_where_they_are_used() -> None:
    """Centre and logarithm of the sides in strides; what OpenCV's side reads out of the maps is the same."""
    rng = np.random.default_rng(0)
    centres, strides = anchor_points(64, 64)
    answers = rng.normal(0, 0.5, (1, len(centres), 5)).astype("float32")
    boxes = np.asarray(decoded(answers, centres, strides[:, None]))[0]
    assert boxes[3] == pytest.approx(
        [
            *(centres[3] + answers[0, 3, 1:3] * 8 - np.exp(answers[0, 3, 3:]) * 4),
            *(centres[3] + answers[0, 3, 1:3] * 8 + np.exp(answers[0, 3, 3:]) * 4),
        ],
        rel=1e-5,
    )
    ends = np.cumsum([(64 // stride) ** 2 for stride in cnn.STRIDES])[:-1]
    maps = [part.reshape(64 // s, 64 // s, 5) for part, s in zip(np.split(answers[0], ends), cnn.STRIDES, strict=True)]
    found, scores = cnn.faces_in(maps, 0.05)
    assert len(found) > 10
    for box, score in zip(found, scores, strict=True):
        place = np.abs(expit(answers[0, :, 0].astype(float)) - score).argmin()
        assert corners(box) == pytest.approx(boxes[place], abs=1e-3)
    assert np.asarray(flattened([keras.ops.convert_to_tensor(m[None]) for m in maps])) == pytest.approx(answers)
    with pytest.raises(ValueError, match="zip"):
        cnn.faces_in(maps[:2], 0.05)
    huge = np.array([[[0, 0, 0, 99, -99]]], "float32")
    left, top, right, bottom = np.asarray(decoded(huge, centres[:1], strides[:1, None]))[0, 0]
    assert (right - left, bottom - top) == pytest.approx((8 * math.exp(4), 8 * math.exp(-4)), rel=1e-4)


def test_the_best_four_hundred_places_are_looked_at() -> None:
    """Of more, none overlapping, those with the highest scores, best first; sides are limited as in training."""
    map_8, *others = (np.full((side, side, 5), -9.0) for side in (32, 16, 8))
    map_8[..., 1:] = 0
    map_8[..., 0] = np.random.default_rng(0).permutation(1024).reshape(32, 32) / 1024
    boxes, scores = cnn.faces_in([map_8, *others], 0.05)
    assert scores == pytest.approx(expit(np.arange(1023, 623, -1) / 1024))
    assert boxes[:, 2:] == pytest.approx(8)
    map_8[..., 0], map_8[2, 3] = -9, [1, 0, 0, 99, -99]
    [[left, top, width, height]], _ = cnn.faces_in([map_8, *others], 0.05)
    assert (width, height) == (pytest.approx(8 * math.exp(4)), pytest.approx(8 * math.exp(-4)))
    assert (left + width / 2, top + height / 2) == pytest.approx((28, 20))


def truth(*rows: tuple[float, ...]) -> np.ndarray:
    """One image's true boxes, with a row of padding."""
    return np.array([[*rows, (0, 0, 0, 0, 0)]], "float32")


def test_alignment_is_score_times_iou_to_the_sixth() -> None:
    """Of two places inside, the better aligned is to score its fit, the other a share of it (Feng et al. 2021)."""
    face = (0, 0, 16, 8, FACE)
    boxes = np.array([[[0, 0, 16, 8], [0, 0, 16, 6], [0, 0, 16, 8], [0, 0, 16, 8]]], "float32")
    scores = np.array([[0.2, 0.6, 0.9, 0.9]], "float32")
    quality, index, ignored = numbers(*assigned(truth(face), scores, boxes, CENTRES))
    fits = np.array([1, 0.75])
    alignment = scores[0, :2] * (fits + 1e-3) ** 6
    assert quality[0, :2] == pytest.approx(alignment * fits.max() / alignment.max(), rel=1e-3)
    assert alignment.argmax() == 0
    assert quality[0, 2:].tolist() == [0, 0]
    assert index[0, :2].tolist() == [0, 0]
    assert ignored.tolist() == [[0, 0, 0, 0]]
    scores[0, 1] = 2.0  # so sure that it is aligned better, though its fit is worse: the target is the best fit
    sure, _, _ = numbers(*assigned(truth(face), scores, boxes, CENTRES))
    assert sure[0, 1] == pytest.approx(1, rel=1e-3)
    assert sure[0, 0] < 0.6


def test_each_face_has_a_scale_of_its_own() -> None:
    """A face that the network hardly sees yet is asked for as much as one beside it that it is sure of."""
    faces = ((0, 0, 8, 8, FACE), (16, 0, 24, 8, FACE))
    boxes = np.array([[[0, 0, 8, 6], [0, 0, 8, 8], [16, 0, 24, 4], [0, 0, 8, 8]]], "float32")
    quality, index, _ = numbers(*assigned(truth(*faces), np.array([[0.9, 0.5, 0.1, 0.5]], "float32"), boxes, CENTRES))
    assert index[0, [0, 2]].tolist() == [0, 1]
    assert quality[0] == pytest.approx([0.75, 0, 0.5, 0], abs=1e-4)


def test_ten_places_at_most_answer_for_a_face() -> None:
    """Of sixty-four inside, the ten aligned best."""
    centres, _ = anchor_points(64, 64)
    centres = centres[:64]
    boxes = np.tile(np.array([0, 0, 64, 64], "float32"), (1, 64, 1))
    scores = np.random.default_rng(0).permutation(np.linspace(0.1, 0.9, 64, dtype="float32"))[None]
    quality, _, _ = numbers(*assigned(truth((-1, -1, 65, 65, FACE)), scores, boxes, centres))
    assert np.flatnonzero(quality[0]).tolist() == np.sort(np.argsort(-scores[0])[:10]).tolist()


def test_a_place_between_two_faces_answers_for_the_one_it_fits() -> None:
    """Though inside both, by the overlap of its own box."""
    faces = ((0, 0, 16, 8, FACE), (8, 0, 32, 8, FACE))
    boxes = np.array([[[0, 0, 16, 8], [8, 0, 30, 8], [8, 0, 32, 8], [8, 0, 32, 8]]], "float32")
    quality, index, _ = numbers(*assigned(truth(*faces), np.full((1, 4), 0.5, "float32"), boxes, CENTRES))
    assert index[0].tolist() == [0, 1, 1, 1]
    assert (quality[0] > 0).all()


def test_ignored_places_are_those_that_answer_for_nobody() -> None:
    """Within a face that is not asked for, and answering for no other."""
    faces = ((0, 0, 8, 8, FACE), (0, 0, 16, 8, IGNORED))
    boxes = np.tile(np.array([0, 0, 8, 8], "float32"), (1, 4, 1))
    quality, _, ignored = numbers(*assigned(truth(*faces), np.full((1, 4), 0.5, "float32"), boxes, CENTRES))
    assert ignored.tolist() == [[0, 1, 0, 0]]
    assert quality[0, 0] > 0


def by_hand(boxes: np.ndarray, logits: np.ndarray, rows: np.ndarray) -> float:
    """The loss of one image, place by place: quality focal loss (Li et al. 2020) and twice the GIoU loss."""
    score = expit(logits)
    quality, face, ignored = numbers(
        *assigned(rows, score[None].astype("float32"), boxes[None].astype("float32"), CENTRES)
    )
    total, mass = 0.0, max(1.0, float(quality.sum()))
    for place in range(len(CENTRES)):
        target, p = quality[0, place], score[place]
        entropy = -(target * math.log(p) + (1 - target) * math.log(1 - p))
        total += (1 - ignored[0, place]) * entropy * abs(target - p) ** 2
        true = rows[0, face[0, place], :4]
        total += 2 * target * (1 - float(generalised_iou(true, boxes[place])))
    return total / mass


@pytest.mark.parametrize("seed", range(5))
def test_loss_is_quality_focal_and_giou(seed: int) -> None:
    """Summed place by place in plain Python it is the same number."""
    rng = np.random.default_rng(seed)
    answers = np.concatenate([rng.normal(0, 2, (1, 4, 1)), rng.normal(0, 0.4, (1, 4, 4))], -1).astype("float32")
    rows = truth((0, -4, 18, 14, FACE), (17, -2, 33, 9, FACE if seed % 2 else IGNORED))
    boxes = np.asarray(decoded(answers, CENTRES, STRIDES[:, None]))[0]
    expected = by_hand(boxes, answers[0, :, 0].astype(float), rows)
    assert float(detector_loss(CENTRES, STRIDES)(rows, answers)) == pytest.approx(expected, rel=1e-4)


def test_a_sure_mistake_costs_more_than_an_unsure_one() -> None:
    """Where there is no face a score of 0.9 costs 0.81 x -log 0.1; one of 0.1 almost nothing."""
    loss = detector_loss(CENTRES, STRIDES)
    sure, unsure = (np.full((1, 4, 5), logit, "float32") * [1, 0, 0, 0, 0] for logit in (math.log(9), -math.log(9)))
    assert float(loss(truth(), sure)) == pytest.approx(4 * 0.81 * -math.log(0.1), rel=1e-4)
    assert float(loss(truth(), unsure)) == pytest.approx(4 * 0.01 * -math.log(0.9), rel=1e-4)


# --- the detector in the worker


class Answering:
    """In the place of ONNX Runtime's network: what it is asked, and the same answer whatever the image."""

    def __init__(self, *places: tuple[int, int, int, float]) -> None:
        self.places, self.asked = places, []

    def run(self, pixels: np.ndarray, names: list[str]) -> list[np.ndarray]:
        """Maps (1, 5, rows, columns) with a logit at each of the places: number of the map, row, column, logit."""
        self.asked.append((pixels, names))
        maps = [np.full((1, 5, *(side // stride for side in pixels.shape[2:])), -9.0) for stride in cnn.STRIDES]
        for level, row, column, logit in self.places:
            maps[level][0, :, row, column] = logit, 0, 0, math.log(2), math.log(3)
        return maps


def detector(network: Answering) -> cnn.Cnn:
    one = object.__new__(cnn.Cnn)
    one._network = network
    return one


def test_a_look_gives_the_faces_whose_middle_is_in_the_image() -> None:
    """Boxes by hand, best first; what the network sees beside the image is no face, what is on its border is."""
    network = Answering((0, 1, 2, 1.0), (2, 0, 0, 2.0), (0, 7, 4, 3.0), (0, 1, 7, 2.5))
    boxes, scores = detector(network).look(np.full((60, 56), 9, np.uint8))
    by_hand = [[36 - 8, 60 - 12, 16, 24], [16 - 32, 16 - 48, 64, 96], [20 - 8, 12 - 12, 16, 24]]
    assert boxes == pytest.approx(np.array(by_hand))  # the middle of the fourth is at (60, 12)
    assert scores == pytest.approx(expit([3.0, 2.0, 1.0]))
    [(pixels, names)] = network.asked
    assert (pixels.shape, pixels.dtype, names) == ((1, 1, 64, 64), np.float32, ["stride_8", "stride_16", "stride_32"])
    assert (pixels[0, 0, :60, :56] == 9).all() and (pixels[0, 0, 60:] == cnn.PADDING).all()


def test_halves_are_looked_at_where_an_image_is_large_enough() -> None:
    """From 201 pixels on; twice at most; their boxes come back in pixels of the image, as squares, best first."""
    for side, looks in ((200, [224]), (201, [224, 128]), (800, [800, 416, 224])):
        network = Answering((2, 0, 0, 1.0))
        boxes, scores = detector(network).detect(np.full((side // 2, side), 9, np.uint8))
        assert [pixels.shape[3] for pixels, _ in network.asked] == looks
        assert scores == pytest.approx(np.full(len(looks), expit(1.0)))
        hugging = np.array([[16 - 32, 16 - 48, 64, 96]]) * 2.0 ** np.arange(len(looks))[::-1, None]
        assert boxes == pytest.approx(plain.squares_as_of_cascade(hugging))
    network = Answering((2, 0, 0, 1.0))
    detector(network).detect(np.full((1, 800), 9, np.uint8))
    assert len(network.asked) == 1, "half a pixel is none"


def test_only_a_network_of_this_shape_is_a_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried on a small image; one whose maps are others is refused with the way to one that will do."""
    network = Answering()
    monkeypatch.setattr(cnn, "OnnxFile", lambda _file: network)
    assert cnn.Cnn(Path("x.onnx"))._network is network
    [(pixels, names)] = network.asked
    assert (pixels.shape, pixels.dtype, names) == ((1, 1, 64, 64), np.float32, ["stride_8", "stride_16", "stride_32"])
    assert not pixels.any()
    monkeypatch.setattr(network, "run", lambda *_: [np.zeros((1, 5, 8, 8))] * 3)
    with pytest.raises(DetectorError, match=r"x\.onnx is not a face detector.*annotate-train detector"):
        cnn.Cnn(Path("x.onnx"))
    monkeypatch.setattr(network, "run", lambda *_: (_ for _ in ()).throw(NetworkError("no answer.")))
    with pytest.raises(DetectorError, match=r"^no answer\. .*annotate-train detector"):
        cnn.Cnn(Path("x.onnx"))


# --- the windows and the training


def numbered(index: int, _rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A window that is as gray as its photograph's number, with forty faces of which the last is the tallest."""
    tops = np.arange(40, dtype=float)
    faces = np.column_stack([tops, np.zeros(40), tops + 5, 1 + tops, np.full(40, FACE)])
    return np.full((32, 32), index, np.uint8), faces


def windows(**changes: Any) -> DetectorTraining:
    return DetectorTraining(**{"windows": 40, "window_size": 32, "batch_size": 20} | changes)


def test_photographs_come_by_their_weights_and_the_tallest_faces_first() -> None:
    """Three of four windows are of the photograph that weighs three times as much; 32 faces at most are learnt from."""
    shares = [
        batch[0][:, 0, 0, 0].mean()
        for seed in range(20)
        for batch in [WindowBatches(numbered, np.array([1.0, 3.0]), windows(seed=seed))[0]]
    ]
    assert np.mean(shares) == pytest.approx(0.75, abs=0.06)
    pixels, faces = WindowBatches(numbered, np.ones(1), windows())[0]
    assert (pixels.shape, pixels.dtype, faces.shape) == ((20, 32, 32, 1), np.dtype("float32"), (20, MOST_FACES, 5))
    assert faces[0, :, 3].tolist() == list(range(40, 8, -1))
    assert len(WindowBatches(numbered, np.ones(1), windows())) == 2


def test_windows_are_a_function_of_seed_epoch_and_place() -> None:
    """The same again when resumed, others in the next epoch, in the next batch and for another seed."""

    def drawn(batches: WindowBatches, index: int = 0) -> list[float]:
        return list(batches[index][0][:, 0, 0, 0])

    weights = np.ones(200)
    first = WindowBatches(numbered, weights, windows())
    resumed, other = WindowBatches(numbered, weights, windows(), 1), WindowBatches(numbered, weights, windows(seed=1))
    different = [drawn(first), drawn(first, 1), drawn(resumed), drawn(other)]
    assert len({tuple(one) for one in different}) == 4
    for epoch in (1, 2):
        first.on_epoch_end()
        assert drawn(first) == drawn(WindowBatches(numbered, weights, windows(), epoch))
    assert drawn(first) != drawn(resumed)


def tiny_detector(_size: int | None = None) -> keras.Model:
    """Three maps of five numbers from one convolution each."""
    pixels = keras.Input((32, 32, 1))
    pooled = [layers.AveragePooling2D(stride)(pixels) for stride in cnn.STRIDES]
    return keras.Model(pixels, [layers.Conv2D(5, 1)(layers.Rescaling(1 / 255)(level)) for level in pooled])


class Missed(keras.callbacks.Callback):
    """Say these shares of missed faces, and remember the weights."""

    def __init__(self, missed: list[float]) -> None:
        super().__init__()
        self.missed, self.seen = missed, []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Put the figure where the training looks for it."""
        assert logs is not None
        logs[MISSED] = self.missed[epoch]
        self.seen.append(self.model.get_weights())


@pytest.mark.usefixtures("untraced")
@pytest.mark.filterwarnings("ignore:.*run_functions_eagerly")
def test_the_epoch_that_misses_least_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is 1 - average precision that counts, with the patience of the settings, and AdamW as described."""
    monkeypatch.setattr(detector_training, "detector_network", tiny_detector)
    optimizers: list[tuple[Any, float]] = []
    kept: Callable[..., Any] = detector_training.fit

    def seen(net: keras.Model, *rest: Any) -> Any:
        optimizers.append((net.optimizer, float(net.optimizer.learning_rate)))
        return kept(net, *rest)

    monkeypatch.setattr(detector_training, "fit", seen)
    told, settings = Missed([0.5, 0.2, 0.4, 0.3, 0.1]), windows(epochs=5, patience=2, learning_rate=0.01)
    network, history = train_detector(numbered, np.ones(3), settings, "data", tmp_path / "c.npz", (told,))
    assert history[MISSED] == [0.5, 0.2, 0.4, 0.3]
    for ours, best, last in zip(network.get_weights(), told.seen[1], told.seen[3], strict=True):
        assert np.array_equal(ours, best)
        assert not np.array_equal(ours, last)
    ((optimizer, first_rate),) = optimizers
    assert first_rate == pytest.approx(0.001), "an epoch of warm-up begins at a tenth"
    assert (type(optimizer), optimizer.weight_decay, optimizer.clipnorm) == (keras.optimizers.AdamW, 0.02, 10.0)
    assert optimizer.use_ema
    assert optimizer.ema_momentum == pytest.approx(math.exp(-1 / 10))
    with pytest.raises(TrainingError, match="data was 'data' and is 'other'"):
        train_detector(numbered, np.ones(3), settings, "other", tmp_path / "c.npz", (told,))


def test_a_detectors_first_weights_are_drawn_by_the_seed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same again for the same seed, others for another."""
    monkeypatch.setattr(detector_training, "detector_network", tiny_detector)
    drawn: list[np.ndarray] = []
    monkeypatch.setattr(detector_training, "fit", lambda net, *_: drawn.append(net.get_weights()[0]))
    for seed in (0, 0, 1):
        train_detector(numbered, np.ones(3), windows(seed=seed), "data", tmp_path / "c.npz", ())
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.isclose(drawn[0], drawn[2]).any()


def test_a_training_begins_where_what_ships_is() -> None:
    """In inference and, on the windows it was measured on, in training, which normalises by the batch."""
    keras.utils.set_random_seed(3)
    windows = np.random.default_rng(0).integers(0, 255, (6, 64, 64, 1)).astype("float32")
    before = detector_network(64)
    for layer in before.layers:  # as if it had been trained
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.random.default_rng(1).uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    shipped = inference_detector(before)
    network = detector_network(64)
    check_fits(detector_network(), shipped)
    start_from(network, shipped, windows)
    for training in (False, True):
        for answer, expected in zip(network(windows, training=training), shipped(windows), strict=True):
            assert np.asarray(answer) == pytest.approx(np.asarray(expected), abs=2e-3)
    with pytest.raises(TrainingError, match="not one of this network's"):
        check_fits(detector_network(), keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
