"""The verifier's data, calibration and crops: by hand, and as scikit-learn and SciPy have them."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from drawn_faces import draw_crops
from keras import layers
from scipy.optimize import minimize
from scipy.special import expit, log_expit, softmax
from sklearn.linear_model import LogisticRegression
from training_runs import linear_network

from batch.detection.faces import VERIFY, answered, labelled_faces
from batch.detection.verification import average_log_odds
from batch.outcome import ImageFile, Key, Proposals, Status
from batch.settings import DetectorSettings
from jobs.training import faces as train_faces
from jobs.training import mining
from jobs.training.face_sets import split
from jobs.training.mining import MinedPhotograph
from model.bundle import FACE_MODEL, load_network, read_card
from model.errors import TrainingError
from model.glance.training import glance_logits, lower_by
from model.layers import check_fits, start_from, without_normalisation
from model.training.batches import TrainingSettings
from model.verifier import training as verifier_training
from model.verifier.network import calibrated_network, verifier_network
from model.verifier.training import (
    face_crops,
    face_margins,
    platt_scaling,
    tight_faces,
    train_verifier,
    without_surroundings,
)


def bright(levels: list[int]) -> np.ndarray:
    """Flat crops (N, 48, 48) of these gray levels."""
    return np.zeros((len(levels), 48, 48), np.uint8) + np.array(levels, np.uint8)[:, None, None]


def test_platt_scaling_is_scikit_learns_logistic_regression() -> None:
    """With many samples the drawn-in targets hardly matter: slope and intercept of the unpenalised regression."""
    rng = np.random.default_rng(0)
    margins = rng.normal(0.5, 2, 5000)
    is_face = rng.random(5000) < expit(1.4 * margins - 0.7)
    theirs = LogisticRegression(C=1e9, tol=1e-8).fit(margins[:, None], is_face)
    ours = platt_scaling(margins, is_face)
    assert ours == pytest.approx((theirs.coef_[0, 0], theirs.intercept_[0]), abs=0.01)
    assert ours == pytest.approx((1.4, -0.7), abs=0.15)


def test_platts_targets_are_drawn_in() -> None:
    """SciPy's minimum of the cross-entropy against (N+ + 1) / (N+ + 2) and 1 / (N- + 2), separable or not."""
    for margins in (np.array([-2.0, -1, 1, 2, 3]), np.array([-2.0, 1.5, 1, 2, 3])):
        is_face = np.array([False, False, True, True, True])
        target = np.where(is_face, 4 / 5, 1 / 4)

        def loss(line: np.ndarray, margins: np.ndarray = margins, target: np.ndarray = target) -> float:
            logits = line[0] * margins + line[1]
            return float(-(target * log_expit(logits) + (1 - target) * log_expit(-logits)).sum())

        best = minimize(loss, [1, 0], tol=1e-10).x
        assert platt_scaling(margins, is_face) == pytest.approx(tuple(best), abs=1e-3)


def test_two_samples_are_enough_for_platt_scaling() -> None:
    """The line through both drawn-in targets, 2/3 and 1/3: whole steps of Newton's would leave it for ever."""
    slope, intercept = platt_scaling(np.array([5.3, 0.02]), np.array([True, False]))
    assert (slope * 5.3 + intercept, slope * 0.02 + intercept) == pytest.approx((np.log(2), -np.log(2)), abs=1e-3)
    assert all(np.isfinite(platt_scaling(np.array([40.0, 38.0]), np.array([True, False]))))


def test_both_labels_of_a_verifier_weigh_the_same() -> None:
    """One face among four: it weighs 2, each of the others 2/3, and what is half a face is one."""
    crops = face_crops(bright([1, 2, 3, 4]), np.array([0.5, 0.4, 0, 0.1]))
    assert crops.truth["face"].tolist() == [1, 0, 0, 0]
    assert crops.weights["face"] == pytest.approx([2, 2 / 3, 2 / 3, 2 / 3])
    assert crops.targets["face"] == pytest.approx(np.array([[0.5, 0.5], [0.6, 0.4], [1, 0], [0.9, 0.1]]))
    assert crops.labels == ("no face", "face")
    assert face_crops(bright([1]), np.ones(1)).weights["face"] == pytest.approx([0.5])


def linear_verifier(kernel: np.ndarray, bias: np.ndarray) -> keras.Model:
    """Logits of a few pixels: the upper left one and the upper right one."""
    pixels = keras.Input((48, 48, 1))
    corners = layers.Concatenate()([layers.Flatten()(pixels[:, :1, :1]), layers.Flatten()(pixels[:, :1, -1:])])
    network = keras.Model(pixels, {"face": layers.Dense(2, name="face")(corners)})
    network.get_layer("face").set_weights([kernel, bias])
    return network


def test_margin_is_face_less_no_face_in_the_mean_of_both_views() -> None:
    """By hand for logits that are linear in two pixels, which change places in the mirror image."""
    kernel, bias = np.array([[0.01, 0.03], [0.02, -0.01]]), np.array([0.5, 0.1])
    crops = bright([10, 20])
    crops[:, 0, 0], crops[:, 0, -1] = [100, 50], [200, 0]
    found = face_margins(linear_verifier(kernel, bias), crops)
    direct = (kernel[0, 1] - kernel[0, 0]) * np.array([100, 50]) + (kernel[1, 1] - kernel[1, 0]) * np.array([200, 0])
    mirrored = (kernel[0, 1] - kernel[0, 0]) * np.array([200, 0]) + (kernel[1, 1] - kernel[1, 0]) * np.array([100, 50])
    assert found == pytest.approx((direct + mirrored) / 2 + bias[1] - bias[0], abs=1e-4)


def test_calibrated_probability_is_platts_sigmoid() -> None:
    """Of the margin, times the slope, plus the intercept: in the column of a face, whatever the bias of no face."""
    pixels = keras.Input((48, 48, 1))
    level = layers.Rescaling(1 / 255)(layers.GlobalAveragePooling2D()(pixels))
    trained = keras.Model(pixels, {"face": layers.Dense(2, name="face")(level)})
    trained.get_layer("face").set_weights([np.array([[0.5, 2.5]]), np.array([0.25, -0.75])])
    shipped = calibrated_network(trained, 1.5, -0.2)
    crops = bright([0, 51, 255])[..., None].astype("float32")
    found = np.asarray(shipped(crops))
    margin = 2 * np.array([0, 0.2, 1]) - 1
    assert found[:, 1] == pytest.approx(expit(1.5 * margin - 0.2), abs=1e-5)
    assert found.sum(axis=1) == pytest.approx(np.ones(3))


def test_a_training_begins_where_the_verifier_that_ships_is() -> None:
    """Its first logits are the log-odds of what ships, also where batches normalise; another network is refused."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 48, 1)).astype("float32")
    trained = verifier_network()
    for layer in trained.layers:  # as if it had been trained
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([np.random.default_rng(1).uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        elif isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    shipped = calibrated_network(trained, 1.5, -0.2)
    check_fits(verifier_network(), shipped)
    start_from(trained, shipped, pixels)
    probability = np.asarray(shipped(pixels))[:, 1]
    for training in (False, True):
        logits = np.asarray(trained(pixels, training=training)["face"])
        assert expit(logits[:, 1] - logits[:, 0]) == pytest.approx(probability, abs=2e-3)
    with pytest.raises(TrainingError, match="not one of this network's"):
        check_fits(verifier_network(), keras.Sequential([keras.Input((4,)), layers.Dense(2)]))


def test_what_ships_is_what_is_built() -> None:
    """Given the weights that ship the verifier answers as what ships, on faint crops too; it learns as described."""
    shipped, trained = load_network(read_card(FACE_MODEL)), verifier_network()
    network = without_normalisation(trained)
    network.set_weights(shipped.get_weights())
    crops = np.concatenate([draw_crops("joy", 4), np.random.default_rng(0).integers(0, 256, (2, 48, 48))])
    pixels = np.concatenate([crops, crops / 20])[..., None].astype("float32")
    assert softmax(network(pixels)["face"], axis=1) == pytest.approx(np.asarray(shipped(pixels)), abs=1e-4)
    assert [layer.rate for layer in trained.layers if isinstance(layer, layers.Dropout)] == [0.2]


def test_a_verifier_is_drawn_by_the_seed_and_watched_by_the_callbacks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its weights before training are the same for the same seed alone; who watches is handed on."""
    monkeypatch.setattr(verifier_training, "verifier_network", lambda: linear_network(["face"], 2))
    handed: list[tuple[np.ndarray, object]] = []

    def train(
        network: keras.Model, _sets: object, _settings: object, _place: Path, callbacks: object, *_: None
    ) -> None:
        handed.append((network.get_layer("face").get_weights()[0], callbacks))

    monkeypatch.setattr(verifier_training, "train", train)
    crops, watching = face_crops(bright([1, 2]), np.array([0.0, 1.0])), (keras.callbacks.Callback(),)
    for seed in (0, 0, 1):
        train_verifier(crops, crops, TrainingSettings(seed=seed), tmp_path / "c.npz", watching)
    assert np.array_equal(handed[0][0], handed[1][0])
    assert not np.isclose(handed[0][0], handed[2][0]).any()
    assert handed[0][1] == watching


def test_crops_with_and_without_surroundings() -> None:
    """At a context of 1.5 the middle two thirds, 32 pixels, are the face: 8 pixels beside it on each side."""
    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    bare = without_surroundings(crops, 1.5)
    assert np.array_equal(bare[:, 8:40, 8:40], crops[:, 8:40, 8:40])
    assert (bare[:, 8:40, :8] == crops[:, 8:40, 8:9]).all()
    assert (bare[:, 40:, 8:40] == crops[:, 39:40, 8:40]).all()
    half = bright([40])
    half[:, :, 24:] = 200
    tight = tight_faces(half, 1.5)
    assert tight.shape == (1, 48, 48)
    assert (tight[0, :, :22] == 40).all() and (tight[0, :, 26:] == 200).all()
    assert tight_faces(bright([7]), 1.5).dtype == np.uint8
    checkerboard = (np.indices((48, 48)).sum(axis=0) % 2 * 255).astype(np.uint8)
    inner = tight_faces(checkerboard[None], 1.5)[0, 9:39, 9:39].astype(int)
    assert np.abs(inner - 127.5).max() < 10, "what is too fine for the smaller crop becomes gray"


def test_faceness_rises_from_beside_a_face_to_on_it() -> None:
    """0 up to an overlap of 0.3, 1 from 0.5, a half between."""
    empty = np.zeros((5, 4))
    fit = np.array([0, 0.3, 0.4, 0.5, 0.9])
    mined = MinedPhotograph("a", empty, bright([0] * 5), fit, np.ones(5, bool))
    made = train_faces._validation_set([mined])
    assert made.targets["face"][:, 1] == pytest.approx([0, 0, 0.5, 1, 1])


def test_what_is_trained_on_is_partly_bare(tmp_path: Path) -> None:
    """About 15 % of the crops lose their surroundings, whichever; the others stay."""
    crops = np.random.default_rng(1).integers(0, 256, (400, 48, 48), np.uint8)
    mined = MinedPhotograph("a", np.zeros((400, 4)), crops.copy(), np.zeros(400), np.ones(400, bool))
    job = train_faces.FaceTraining(tmp_path, tmp_path, None, tmp_path / "f.keras", TrainingSettings())
    made = train_faces._training_set(job, [mined])
    changed = (made.images != crops).any(axis=(1, 2))
    assert 0.1 < changed.mean() < 0.2
    assert np.array_equal(made.images[changed], without_surroundings(crops[changed], 1.5))


def test_true_faces_are_shifted_a_little() -> None:
    """Squares 0.85 to 1.3 times as large, their centres at most 15 % of a side away."""
    faces = np.repeat([[100.0, 50, 40, 90]], 500, 0)
    squares = mining._shifted(faces, np.random.default_rng(0))
    ratio = squares[:, 2] / np.sqrt(40 * 90)
    assert (squares[:, 2] == squares[:, 3]).all()
    assert (0.85 <= ratio.min() < 0.87) and (1.28 < ratio.max() <= 1.3)
    away = (squares[:, :2] + squares[:, 2:] / 2 - (120, 95)) / squares[:, 2:]
    assert 0.14 < np.abs(away).max() <= 0.15
    assert np.abs(away.mean(axis=0)).max() < 0.02


def test_a_fifth_of_the_photographs_is_held_out() -> None:
    """By seed, whatever their order, none twice."""
    paths = [str(number) for number in range(25)]
    training, held_out = split(paths, 0.2, 3)
    assert (len(training), len(held_out)) == (20, 5)
    assert not set(training) & set(held_out)


def test_a_threshold_becomes_the_glances_zero() -> None:
    """What gave more than the threshold gives more than 0."""
    patches = keras.Input((20, 20, 1))
    network = keras.Model(patches, layers.Conv2D(1, 20, kernel_initializer="ones")(patches))
    flat = np.array([0.01, 0.02, 0.03])[:, None, None] * np.ones((3, 20, 20))
    assert glance_logits(network, flat) == pytest.approx([4, 8, 12], rel=1e-4)
    lower_by(network, 8.5)
    assert glance_logits(network, flat) == pytest.approx([-4.5, -0.5, 3.5], rel=1e-4)


# --- the verifier's looks, on whole images


def proposals(boxes: np.ndarray, scores: list[float], cut: np.ndarray) -> Proposals:
    """What a worker proposes of an image."""
    return Proposals(
        found=ImageFile(Key("r", "p"), 1, 1),
        width=999,
        height=99,
        taken_at=None,
        boxes=boxes,
        scores=np.array(scores),
        cut=cut,
        quality=np.zeros((len(boxes), 3)),
        seconds={},
    )


def proposed(scores: list[float], levels: list[int]) -> Proposals:
    """Proposals far apart with these scores; their patches have these gray levels on the left, black on the right."""
    patches = np.zeros((len(levels), 72, 72), np.uint8)
    patches[:, :, :36] = np.array(levels, np.uint8)[:, None, None]
    boxes = np.array([[100.0 * i, 0, 48, 48] for i in range(len(levels))]).reshape(-1, 4)
    return proposals(boxes, scores, patches)


class Looks:
    """Networks of which the verifier says how bright the left half is, in percent, and half of the right one."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, name: str) -> Callable[[np.ndarray], np.ndarray]:
        """The network of that name."""
        return self.verify if name == VERIFY else lambda crops: np.ones((len(crops), 1))

    def verify(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities of no face and of a face."""
        self.seen.append(len(crops))
        face = (crops[:, :, :20].mean(axis=(1, 2)) + crops[:, :, 28:].mean(axis=(1, 2)) / 2) / 100
        return np.column_stack([1 - face, face])


@pytest.mark.parametrize(("name", "own"), [("cascade", 0), ("cnn", 3)])
def test_a_score_is_the_mean_of_the_looks_in_log_odds(name: str, own: int) -> None:
    """A cascade's own score counts nothing, the CNN's as three looks; the verifier looks twice, once at the mirror."""
    asked = labelled_faces(proposed([0.9, 0.9], [80, 60]), DetectorSettings(name, face_threshold=0.05))
    faces = answered(asked, Looks()).faces
    odds = [own * np.log(9) + np.log(p / (1 - p)) + np.log(p / 2 / (1 - p / 2)) for p in (0.8, 0.6)]
    assert [face.score for face in faces] == pytest.approx(expit(np.array(odds) / (own + 2)), abs=1e-6)
    assert average_log_odds(np.array([0.9]), np.array([0.8]), own) == pytest.approx(
        expit((own * np.log(9) + np.log(4)) / (own + 1))
    )


def test_the_threshold_is_the_settings() -> None:
    """A face is what the looks give at least the threshold; unlikely proposals are looked at once only."""
    looks = Looks()
    asked = labelled_faces(proposed([0.5, 0.5, 0.5], [90, 40, 2]), DetectorSettings("cascade", face_threshold=0.5))
    outcome = answered(asked, looks)
    assert looks.seen == [3, 2]
    assert [face.box.x for face in outcome.faces] == pytest.approx([0])


def test_the_detectors_own_score_counts_for_what_is_unlikely() -> None:
    """What the CNN is sure of is looked at twice, although the verifier gives it 3 % at first sight."""
    looks = Looks()
    answered(labelled_faces(proposed([0.99], [3]), DetectorSettings("cnn")), looks)
    assert looks.seen == [1, 1]


def test_the_seconds_of_both_looks_are_told() -> None:
    """Beside those of the worker's other stages."""

    def slow(name: str) -> Callable[[np.ndarray], np.ndarray]:
        def network(crops: np.ndarray) -> np.ndarray:
            time.sleep(0.01)
            return Looks()(name)(crops)

        return network

    found = replace(proposed([0.5], [90]), seconds={"detect": 7.0})
    seconds = answered(labelled_faces(found, DetectorSettings("cascade")), slow).seconds
    assert seconds["detect"] == 7.0
    assert 0.02 <= seconds[VERIFY] < 1
    assert len(seconds) == 3


@pytest.mark.parametrize("levels", [[], [2, 2]])
def test_an_image_without_a_face_has_no_crop(levels: list[int]) -> None:
    """Whether nothing was proposed in it or nothing of that is likely."""
    found = proposed([0.5] * len(levels), levels)
    outcome = answered(labelled_faces(found, DetectorSettings("cascade"), with_crops=True), Looks())
    assert (outcome.status, list(outcome.faces)) == (Status.NO_FACE, [])
    assert outcome.crops is None or len(outcome.crops) == 0


def test_the_largest_face_is_the_first_and_has_its_own_crop() -> None:
    """Whatever the order of the proposals, box, score, crop and probabilities stay together."""
    boxes, crops = np.array([[0, 0, 40, 10], [50, 0, 30, 30.0]]), bright([1, 2])  # the first is wider, and smaller
    found = proposals(boxes, [0.9, 0.8], crops)
    outcome = answered(
        labelled_faces(found, DetectorSettings("yunet"), with_crops=True), lambda _: lambda seen: seen[:, 0, :1] / 10
    )
    assert [(face.box.x, face.score, face.probabilities[0]) for face in outcome.faces] == [
        (50, 0.8, 0.2),
        (0, 0.9, 0.1),
    ]
    assert outcome.crops[:, 0, 0].tolist() == [2, 1]
