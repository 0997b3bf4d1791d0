"""The rules of the detector's, the verifier's and the glance's training: who is trained on, and what is said of it."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from conftest import astronaut
from training_runs import known_photographs

from batch.settings import DetectorSettings, WorkerSettings
from jobs.training import detector, face_figures, faces, glance, mining
from jobs.training.detection_metrics import match
from jobs.training.detector import AveragePrecision, DetectorJob, FoundFaces, Photograph, with_mistakes
from jobs.training.face_figures import ValidatedPhotograph, in_words
from jobs.training.face_sets import NEGATIVES, KnownFaces, _to_train_on, split
from jobs.training.faces import FaceTraining
from jobs.training.mining import MinedPhotograph
from jobs.training.windows import Window
from model.bundle import FACE_MODEL
from model.detector.training import MISSED, DetectorTraining
from model.training.batches import TrainingSettings
from model.training.log import EpochLog
from model.verifier.network import FACE_LABELS
from model.verifier.training import platt_scaling

TEN = [f"{number}.jpg" for number in range(10)]


class Enough(Exception):
    """What a test wanted to see has been seen."""


def photograph(faces_in_it: list[list[float]], mistaken: int = 0) -> Photograph:
    """A gray photograph with faces at these boxes, and as many boxes that were mistaken for some."""
    boxes = np.array(faces_in_it, float).reshape(-1, 4)
    return Photograph("a.jpg", np.zeros((600, 1024), np.uint8), boxes, 1024.0, np.zeros((mistaken, 4)))


def found_in(*scored: tuple[list[float], float]) -> FoundFaces:
    """What is found in a photograph of three small faces, which begin at 0, 200 and 400 and are 60 pixels large."""
    boxes, scores = np.array([box for box, _ in scored], float), np.array([score for _, score in scored])
    return FoundFaces(photograph([[200.0 * place, 0, 60, 60] for place in range(3)]), boxes, scores)


HALF_FOUND = found_in(([0, 0, 60, 132], 0.9), ([600, 0, 60, 60], 0.2))
"""A box with an overlap of 0.45 with one face, and a less sure one beside both."""


# --- the detector


def test_the_detectors_held_out_photographs_are_not_trained_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fifth, by the seed; the rest is trained on."""
    boxes, seen = known_photographs(tmp_path / "photos", 10), []

    def trained(_job: Any, training: list[Photograph], held_out: list[Photograph], _start: Any) -> None:
        seen.extend([one.path for one in some] for some in (training, held_out))
        raise Enough

    monkeypatch.setattr(detector, "_trained", trained)
    job = DetectorJob(tmp_path / "photos", boxes, None, tmp_path / "d.keras", DetectorTraining(seed=3))
    with pytest.raises(Enough):
        detector.train_face_detector(job)
    assert tuple(seen) == split(TEN, 0.2, 3) != split(TEN, 0.2, 0)


def test_what_was_surely_mistaken_is_shown_again() -> None:
    """Of what was found in a photograph shrunk to a half the sure box that is no face, in its own pixels."""
    large = Photograph("a", np.zeros((1280, 1280), np.uint8), np.array([[200.0, 200, 100, 100]]), 1280.0)
    boxes = np.array([[100.0, 100, 50, 50], [300, 300, 60, 60], [10, 10, 60, 60]])
    found = FoundFaces(large.as_detected(), boxes, np.array([0.9, 0.8, 0.05]))
    assert with_mistakes(large, found).mistaken.tolist() == [[600, 600, 120, 120]]


def test_photographs_come_by_what_is_in_them_and_with_further_faces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the root of their faces, from ten pixels on, and mistakes; FER2013's faces for training are pasted in."""
    parts = {name: SimpleNamespace(crops=np.full((1, 48, 48), level)) for name, level in (("Training", 7), ("Test", 9))}
    monkeypatch.setattr(detector, "read_fer2013", lambda _: parts)
    windows: list[Any] = []
    monkeypatch.setattr(
        detector, "cut_window", lambda *told: windows.append(told) or Window(np.zeros((8, 8)), np.zeros((0, 5)))
    )
    trained: list[Any] = []
    monkeypatch.setattr(detector, "train_detector", lambda *told: trained.append(told))
    (tmp_path / "boxes.json").write_text("{}")
    job = DetectorJob(
        tmp_path, tmp_path / "boxes.json", Path("f.csv"), tmp_path / "d.keras", DetectorTraining(window_size=96)
    )
    photographs = [photograph([[0, 0, 20, 20], [50, 0, 10, 10], [90, 0, 9, 9]], mistaken=7), photograph([])]
    start = object()
    detector._trained(job, photographs, [], start)
    [(cut, weights, settings, data, checkpoint, callbacks, begun_with)] = trained
    assert weights == pytest.approx([0.5 + 3, 0.5])
    assert (settings, checkpoint, begun_with) == (job.settings, tmp_path / "d.checkpoint.npz", start)
    assert data.endswith(" and faces")
    assert [type(callback).__name__ for callback in callbacks] == ["AveragePrecision", "TensorBoard", "EpochLog"]
    cut(0, np.random.default_rng(0))
    [(gray, boxes, mistaken, size, further, _)] = windows
    assert gray is photographs[0].gray and boxes is photographs[0].faces
    assert (len(mistaken), size, further[0, 0, 0]) == (7, 96, 7)


def test_each_epochs_figures_are_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Average precision at either overlap, and the recall where precision is 95 %."""
    monkeypatch.setattr(detector, "find_faces", lambda *_: [HALF_FOUND])
    measured = AveragePrecision([])
    measured.set_model(measured._network)
    logs: dict[str, Any] = {}
    measured.on_epoch_end(0, logs)
    assert logs == {"val_average_precision_50": 0, "val_recall": pytest.approx(1 / 3), MISSED: pytest.approx(2 / 3)}


def test_the_detectors_figures_are_by_fit_and_size() -> None:
    """One of three small faces is found, at an overlap of 0.45: a third at 0.35, nothing at 0.5, nor of large ones."""
    figures = detector._figures([HALF_FOUND])
    precisions = figures.pop("average_precision")
    assert figures == {"photographs": 1, "faces": 3, "threshold": 0.9, "recall": pytest.approx(1 / 3), "precision": 1}
    assert precisions["IoU 0.35, 40 to inf px"] == precisions["IoU 0.35, 40 to 80 px"] == 0.3333
    assert precisions["IoU 0.35, 160 to inf px"] == precisions["IoU 0.5, 40 to inf px"] == 0


def test_the_detectors_scores_are_calibrated_by_what_they_hit() -> None:
    """The surer, the likelier: Platt's line of the logits; where nothing is wrong they stay as they are."""
    found = [found_in(([0, 0, 60, 60], 0.6), ([600, 0, 60, 60], 0.3), ([800, 0, 60, 60], 0.7)) for _ in range(3)]
    more = [found_in(([200, 0, 60, 60], 0.9), ([600, 0, 60, 60], 0.1)) for _ in range(3)]
    scores, hits = np.array([0.6, 0.3, 0.7] * 3 + [0.9, 0.1] * 3), np.array([1, 0, 0] * 3 + [1, 0] * 3) == 1
    slope, intercept = detector._calibrated(found + more)
    assert (slope, intercept) == pytest.approx(platt_scaling(np.log(scores / (1 - scores)), hits))
    assert slope > 0
    assert detector._calibrated([found_in(([0, 0, 60, 60], 0.6))]) == (1, 0)


def test_the_detector_that_ships_is_the_calibrated_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Slope and intercept, of what the trained one finds, are in the network that is measured and saved."""
    made: list[Any] = []

    def inference(network: str, *calibration: float) -> Any:
        made.append((network, *calibration))
        if calibration:
            raise Enough
        return network

    monkeypatch.setattr(detector, "_trained", lambda *_: ("trained", {MISSED: [1.0]}))
    monkeypatch.setattr(detector, "find_faces", lambda *_: [HALF_FOUND])
    monkeypatch.setattr(detector, "_calibrated", lambda _: (2.0, -1.0))
    monkeypatch.setattr(detector, "inference_detector", inference)
    boxes = known_photographs(tmp_path / "photos", 5)
    with pytest.raises(Enough):
        detector.train_face_detector(
            DetectorJob(tmp_path / "photos", boxes, None, tmp_path / "d.keras", DetectorTraining())
        )
    assert made == [("trained",), ("trained", 2.0, -1.0)]


# --- the verifier


def face_job(tmp_path: Path, seed: int = 0, further: Path | None = None) -> FaceTraining:
    boxes = tmp_path / "boxes.json"
    return FaceTraining(tmp_path, boxes, further, tmp_path / "f.keras", TrainingSettings(seed=seed), jobs=2)


def test_each_side_of_the_verifiers_split_has_its_own_proposers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every detector's proposals are trained on; held out are the default's, all of them, of the other photographs."""
    asked: list[Any] = []
    monkeypatch.setattr(faces, "mine", lambda *told: asked.append(told))
    monkeypatch.setattr(faces, "save_mined", lambda *_: None)
    known = {path: KnownFaces(np.zeros((0, 4)), 800) for path in TEN}
    for everything in (False, True):
        faces._mined(face_job(tmp_path, seed=5), known, everything)
    training, held_out = split(TEN, 0.2, 5)
    assert [told[2:] for told in asked] == [
        (training, False, faces._PROPOSERS, 2),
        (held_out, True, (DetectorSettings(),), 2),
    ]
    assert [one.name for one in faces._PROPOSERS] == ["cascade", "cnn", "cnn", "cnn"]


def mined(crops: int, fit: list[float], path: str = "a.jpg") -> MinedPhotograph:
    images = np.full((crops, 48, 48), 50, np.uint8)
    boxes = np.array([[100.0 * number, 0, 60, 60] for number in range(crops)])
    return MinedPhotograph(path, boxes, images, np.array(fit), np.ones(crops, bool))


def test_faces_of_fer2013_are_faces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """0.15 for each face that was mined, of the part for training."""
    parts = {
        name: SimpleNamespace(crops=np.full((90, 48, 48), level, np.uint8))
        for name, level in (("Training", 7), ("PublicTest", 9))
    }
    monkeypatch.setattr(faces, "read_fer2013", lambda _: parts)
    made = faces._training_set(face_job(tmp_path, further=Path("f.csv")), [mined(60, [0.9] * 20 + [0.1] * 40)])
    assert len(made) == 60 + round(0.15 * 20)
    assert made.truth["face"].tolist() == [1] * 20 + [0] * 40 + [1] * 3
    assert made.images[60:].max() == 7


def test_the_verifier_that_ships_says_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its probabilities of the boxes that are left are the scores that the figures and pictures are of."""
    pixels = keras.Input((48, 48, 1))
    head = keras.layers.Dense(2, name="face")(
        keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 50)(pixels))
    )
    trained = keras.Model(pixels, {"face": head})
    trained.get_layer("face").set_weights([np.array([[0.5, 1.7]]), np.array([0.3, -2.5])])
    one = mined(6, [0.9, 0.1, 0.8, 0.0, 0.7, 0.2])
    one.crops[:] = np.array([200, 60, 120, 90, 100, 30])[:, None, None]
    known = {"a.jpg": KnownFaces(one.boxes[[0, 2, 4]], 1024)}
    shipped, [measured] = faces._calibrated(trained, [one], known)
    said = np.asarray(shipped(measured.crops[..., None].astype("float32")))[:, FACE_LABELS.index("face")]
    assert said == pytest.approx(measured.scores, abs=1e-5)
    assert measured.matches.hit[np.argsort(-measured.scores)].tolist() == [1, 1, 1, 0, 0, 0]


def validated(
    scored: list[tuple[list[float], float]], true: list[list[float]], path: str = "a.jpg"
) -> ValidatedPhotograph:
    """What is left of a photograph: boxes with their scores beside the true faces."""
    boxes, scores = np.array([box for box, _ in scored], float).reshape(-1, 4), np.array([s for _, s in scored])
    truth = np.array(true, float)
    crops = np.zeros((len(boxes), 48, 48), np.uint8) + np.arange(len(boxes), dtype=np.uint8)[:, None, None]
    return ValidatedPhotograph("a.jpg", truth, crops, scores, match(boxes, scores, truth, 1024), np.arange(len(boxes)))


def test_the_verifiers_figures_and_words() -> None:
    """Of two faces one is found before anything else."""
    one = validated([([0, 0, 60, 60], 0.7), ([600, 0, 60, 60], 0.4)], [[0, 0, 60, 60], [200, 0, 60, 60]])
    figures = faces._figures([one])
    assert figures == {"photographs": 1, "faces": 2, "threshold": 0.7, "recall": 0.5, "precision": 1}
    said = in_words({"photographs": 2, "faces": 4, "recall": 0.5, "precision": 0.96, "threshold": 0.7})
    assert said == "on 2 photographs held out it finds 0.50 of 4 faces with a precision of 0.96 (threshold 0.70)"


def test_what_is_mined_has_sixty_of_what_is_no_face() -> None:
    """And all that has something of one, in their order."""
    chosen = _to_train_on(mined(203, [0.0] * 100 + [0.4] * 3 + [0.1] * 100))
    assert len(chosen) == NEGATIVES + 3 == 63
    assert set(chosen) >= {100, 101, 102} and (np.diff(chosen) > 0).all()


def test_crops_of_a_large_photograph_are_those_of_the_small_one(tmp_path: Path) -> None:
    """Decoded at a smaller scale, and seen at a smaller one still."""
    for name, side in (("small", 512), ("large", 4096)):
        (tmp_path / name).mkdir()
        astronaut().resize((side, side)).save(tmp_path / name / "a.jpg", quality=95)
    face = np.array([[170.0, 65.0, 110.0, 110.0]])
    small = mining.mine_photograph(tmp_path / "small", "a.jpg", face, WorkerSettings())
    large = mining.mine_photograph(tmp_path / "large", "a.jpg", 8 * face, WorkerSettings())
    shifted, same = large.crops[~large.proposed].astype(float), small.crops[~small.proposed]
    assert large.fit[~large.proposed] == pytest.approx(small.fit[~small.proposed])
    assert np.abs(shifted - same).mean() < 5
    assert large.fit[large.proposed].max() > 0.5
    best = large.crops[large.fit == large.fit[large.proposed].max()][0]
    windows, seen = mining.mine_windows(tmp_path / "large", "a.jpg", WorkerSettings())
    assert len(windows) == len(seen) and np.abs(seen.astype(float) - best).mean(axis=(1, 2)).min() < 1


# --- the glance


def test_the_glance_learns_from_the_one_side_and_is_measured_on_the_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It learns the probability of a face; 0.995 of the faces held out pass, and of the rest as few as that allows."""
    patches, crops = np.zeros((1000, 20, 20), np.uint8), np.zeros((1000, 48, 48), np.uint8)
    crops[:200] = 255
    asked: list[list[str]] = []

    def windows(_root: Path, paths: list[str], _jobs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        asked.append(paths)
        yield patches[: 500 * len(asked)], crops[: 500 * len(asked)]

    def verify(pixels: np.ndarray) -> np.ndarray:
        face = pixels[:, 0, 0, 0] / 255
        return np.column_stack([1 - face, face])

    monkeypatch.setattr(glance, "windows", windows)
    learnt: list[Any] = []
    monkeypatch.setattr(glance, "train_glance", lambda *told: learnt.append(told))
    logits = np.concatenate([np.linspace(1, 2, 200), np.linspace(-2, 1.5, 800)])
    monkeypatch.setattr(glance, "glance_logits", lambda *_: logits)
    lowered: list[float] = []
    monkeypatch.setattr(glance, "lower_by", lambda _, by: lowered.append(by))
    monkeypatch.setattr(glance, "export_maps", lambda *_: None)
    verifier = SimpleNamespace(predict_on_batch=verify)
    told = glance.train_and_export(tmp_path, ["a"], ["b", "c"], verifier, tmp_path / "g.onnx", 1, 4)
    [(_, faceness, seed)] = learnt
    assert (asked, seed) == ([["a"], ["b", "c"]], 4)
    assert faceness.tolist() == [1] * 200 + [0] * 300
    assert lowered == [pytest.approx(np.quantile(logits[:200], 0.005))]
    assert told == {
        "windows_trained_on": 500,
        "windows": 1000,
        "share_that_passes": pytest.approx((logits > lowered[0]).mean()),
        "share_of_faces_that_passes": 0.995,
    }


def test_the_glance_gets_the_verifiers_sides_and_the_verifier_its_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By one seed, so that what is held out of one is held out of the other; each epoch has its row in a table."""
    boxes = known_photographs(tmp_path / "photos", 10)
    asked: list[Any] = []
    trained: list[Any] = []

    def taught(*told: Any) -> None:
        asked.append(told)
        raise Enough

    monkeypatch.setattr(faces, "_mined", lambda *_: [mined(2, [0.9, 0.1])])
    monkeypatch.setattr(faces, "train_verifier", lambda *told: trained.append(told) or (None, {"val_loss": [1.0]}))
    monkeypatch.setattr(faces, "_calibrated", lambda *_: (None, [validated([], [[0, 0, 60, 60]])]))
    monkeypatch.setattr(faces, "train_and_export", taught)
    settings = TrainingSettings(seed=5)
    job = FaceTraining(tmp_path / "photos", boxes, None, tmp_path / "f.keras", settings, start_from=FACE_MODEL)
    with pytest.raises(Enough):
        faces.train_faces(job)
    [(_, _, told, checkpoint, (table,), start)] = trained
    assert (told, checkpoint, start.path) == (settings, tmp_path / "f.checkpoint.npz", FACE_MODEL)
    assert isinstance(table, EpochLog)
    assert asked[0][1:3] == split(TEN, 0.2, 5) and asked[0][6] == 5


# --- pictures


def test_the_pictures_show_the_surest_mistakes_and_the_largest_misses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Best first; faces that are too small to be asked for are not missed, and found are those at the threshold."""
    astronaut().resize((1024, 1024)).save(tmp_path / "a.jpg")
    faces_there = [[0, 0, 60, 60], [200, 0, 50, 50], [400, 0, 100, 100], [600, 0, 20, 20]]
    scored = [([0, 0, 60, 60], 0.9), ([200, 0, 50, 50], 0.1), ([800, 0, 60, 60], 0.6), ([800, 200, 60, 60], 0.8)]
    one = validated(scored, faces_there)
    crops, titles = face_figures._false_positives([one], 0.5)
    assert (titles, [crop[0, 0] for crop in crops]) == (["0.80", "0.60"], [3, 2])
    crops, titles = face_figures._misses(tmp_path, [one], 0.5)
    assert titles == ["not proposed", "0.10"]
    drawn: list[Any] = []
    monkeypatch.setattr(face_figures, "draw_recall_by_size", lambda *told: drawn.append(told))
    face_figures.draw_figures(tmp_path, [one], tmp_path / "pictures")
    [(sides, found, _)] = drawn
    assert (sides.tolist(), found.tolist()) == ([60, 50, 100, 20], [True, False, False, False])


def test_a_training_says_which_device_it_runs_on(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """The one that was asked for."""
    boxes = known_photographs(tmp_path / "photos", 5)
    job = DetectorJob(tmp_path / "photos", boxes, None, tmp_path / "d.keras", DetectorTraining(), device="cpu")
    with caplog.at_level(logging.INFO, "annotate.train"), pytest.MonkeyPatch.context() as patch:
        asked: list[str] = []
        patch.setattr(detector, "choose_device", lambda device: asked.append(device) or device)
        patch.setattr(detector, "split", lambda *_: (_ for _ in ()).throw(Enough))
        with pytest.raises(Enough):
            detector.train_face_detector(job)
    assert (asked, caplog.messages) == (["cpu"], ["training on cpu"])
