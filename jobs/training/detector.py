"""Training the face detector, from photographs with boxes to a calibrated model on disk: once through."""

import hashlib
import json
import logging
import shlex
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from batch.detection.crop import cut_patches, verifier_crops
from batch.detection.detectors.cnn import LEAST, faces_in, letterboxed
from batch.images.decode import read_photograph
from batch.names import number_of
from batch.outcome import ImageError
from batch.settings import DetectorSettings, WorkerSettings
from batch.workers.worker import shrunken
from jobs.training.detection_metrics import FITS, SMALLEST, Curve, Matches, curve, match
from jobs.training.face_figures import ValidatedPhotograph, draw_figures, in_words
from jobs.training.face_sets import KnownFaces, check_photographs, read_boxes, split
from jobs.training.windows import NATIVE, cut_window
from model.bundle import fingerprint, load_keras_file
from model.data.fer2013 import read_fer2013
from model.detector.export import export_maps
from model.detector.network import detector_network, inference_detector
from model.detector.training import MISSED, DetectorTraining, train_detector
from model.device import choose_device
from model.errors import DataError
from model.files import write_atomically
from model.layers import check_fits
from model.progress import counted, doing
from model.training.log import EpochLog
from model.verifier.training import platt_scaling

log = logging.getLogger("annotate.train")

PRECISION = 0.95
_SIZES = ((SMALLEST, np.inf), (SMALLEST, 80), (80, 160), (160, np.inf))
"""Shorter sides of faces that figures are given for, in pixels of photographs 1024 pixels wide."""
_AT_A_TIME = 8
_SEEN = 0.1
"""Score from which on a box that is no face is a mistake worth learning from."""


@dataclass(frozen=True)
class DetectorJob:
    """What to train on, where to put the model, and how."""

    photographs: Path
    boxes: Path
    faces: Path | None
    output: Path
    settings: DetectorTraining
    held_out: float = 0.2
    mixed_precision: bool = False
    device: str = "auto"
    resume: bool = False
    start_from: Path | None = None
    """Model whose weights are trained further, and whose mistakes are shown more often."""


@dataclass(frozen=True)
class Photograph:
    """Gray pixels (rows, columns) and what is known of the faces in it, (F, 4) in these pixels."""

    path: str
    gray: np.ndarray
    faces: np.ndarray
    long_side: float
    """Of the photograph as it was before it was shrunk, in its pixels."""
    mistaken: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    """What a detector has mistaken for faces (M, 4)."""

    def as_detected(self) -> "Photograph":
        """The same as a detector sees it, shrunk."""
        gray = shrunken(self.gray, DetectorSettings.detect_size)
        across = gray.shape[1] / self.gray.shape[1]
        return replace(self, gray=gray, faces=self.faces * across, long_side=self.long_side * across)


@dataclass(frozen=True)
class FoundFaces:
    """What a network finds in a photograph: boxes (N, 4) and scores (N,), best first."""

    photograph: Photograph
    boxes: np.ndarray
    scores: np.ndarray

    def matches(self, least_fit: float = FITS, sizes: tuple[float, float] = _SIZES[0]) -> Matches:
        """What becomes of the boxes beside the true faces."""
        seen = self.photograph
        return match(self.boxes, self.scores, seen.faces, seen.long_side, least_fit, sizes)


class AveragePrecision(keras.callbacks.Callback):
    """Measure the detector on photographs held out after each epoch, and add the figures to the epoch's."""

    def __init__(self, photographs: list[Photograph]) -> None:
        super().__init__()
        self._photographs = photographs
        self._network = detector_network()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the average precision, and the recall where precision is 95 %."""
        self._network.set_weights(self.model.get_weights())
        found = find_faces(self._network, self._photographs)
        figures = curve_of(found)
        if logs is not None:
            logs["val_average_precision_50"] = curve_of(found, 0.5).average_precision
            logs["val_recall"] = figures.at_precision(PRECISION)[1]
            logs[MISSED] = 1 - figures.average_precision


def curve_of(found: Iterable[FoundFaces], least_fit: float = FITS, sizes: tuple[float, float] = _SIZES[0]) -> Curve:
    """Precision and recall of what was found in all photographs."""
    return curve((one.scores, one.matches(least_fit, sizes)) for one in found)


def find_faces(network: keras.Model, photographs: list[Photograph]) -> list[FoundFaces]:
    """What the network finds, photograph by photograph; those of one shape share batches."""
    padded = [letterboxed(photograph.gray) for photograph in photographs]
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, pixels in enumerate(padded):
        by_shape.setdefault(pixels.shape, []).append(index)
    found: list[FoundFaces | None] = [None] * len(photographs)
    together = [
        indices[start : start + _AT_A_TIME]
        for indices in by_shape.values()
        for start in range(0, len(indices), _AT_A_TIME)
    ]
    for some in counted(together, len(together), "finding faces, a few photographs at a time"):
        batch = np.stack([padded[i] for i in some] + [padded[some[0]]] * (_AT_A_TIME - len(some)))
        maps = [np.asarray(m, np.float32) for m in network.predict_on_batch(batch[..., None].astype("float32"))]
        for row, index in enumerate(some):
            boxes, scores = faces_in([m[row] for m in maps], LEAST)
            found[index] = FoundFaces(photographs[index], boxes, scores)
    return [one for one in found if one is not None]


def train_face_detector(job: DetectorJob) -> None:
    """Train, calibrate and measure on the photographs held out, save as Keras' file and as ONNX, draw.

    Raises DataError if the photographs or the boxes lack what is needed.
    """
    known = read_boxes(job.boxes)
    check_photographs(job.photographs, known, job.boxes)
    job.output.parent.mkdir(parents=True, exist_ok=True)
    log.info("training on %s", choose_device(job.device))
    keras.config.set_dtype_policy("mixed_bfloat16" if job.mixed_precision else "float32")
    paths, held_out = split(list(known), job.held_out, job.settings.seed)
    seen = [one.as_detected() for one in read_photographs(job.photographs, known, held_out)]
    training = read_photographs(job.photographs, known, paths)
    start = load_keras_file(job.start_from) if job.start_from else None
    if start is not None:
        check_fits(detector_network(), start)
        log.info("looking for what %s mistakes for faces in them", job.start_from)
        found = find_faces(start, [one.as_detected() for one in training])
        training = [with_mistakes(*pair) for pair in zip(training, found, strict=True)]
    trained, history = _trained(job, training, seen, start)
    with doing("calibrating, and measuring on the photographs held out"):
        slope, intercept = _calibrated(find_faces(inference_detector(trained), seen))
        shipped = inference_detector(trained, slope, intercept)
        found = find_faces(shipped, seen)
    facts = {
        "validation": _figures(found),
        "training": {"photographs": len(paths), **asdict(job.settings), "epochs_done": len(history[MISSED])},
        "command": shlex.join(["annotate-train", *sys.argv[1:]]),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    with doing(f"writing {job.output}, and the same network as ONNX"):
        write_atomically(job.output, shipped.save)
        export_maps(shipped, job.output.with_suffix(".onnx"))
    text = json.dumps(facts, indent=2) + "\n"
    write_atomically(job.output.with_suffix(".json"), lambda file: file.write_text(text, "utf-8"))
    with doing("drawing the pictures"):
        draw_figures(job.photographs, [_validated(one, known) for one in found], job.output.with_suffix(""))
    _checkpoint(job).unlink(missing_ok=True)
    fields = {"validation": facts["validation"]}
    log.info("wrote %s: %s", job.output, in_words(facts["validation"]), extra={"fields": fields})


def read_photographs(root: Path, known: dict[str, KnownFaces], paths: list[str]) -> list[Photograph]:
    """Read photographs; raises DataError."""
    settings, photographs = WorkerSettings(), []
    for path in counted(paths, len(paths), "reading photographs"):
        try:
            read = read_photograph(root / path, settings.max_pixels, settings.decode_long_side)
        except ImageError as error:
            raise DataError(f"{root / path}: {error.reason}.") from error
        across = read.gray.shape[1] / read.width
        photographs.append(Photograph(path, read.gray, known[path].faces * across, known[path].long_side * across))
    return photographs


def with_mistakes(photograph: Photograph, found: FoundFaces) -> Photograph:
    """The photograph, with those of the boxes found in it, shrunk, that are no face."""
    wrong = (found.matches().hit == 0) & (found.scores >= _SEEN)
    across = photograph.gray.shape[1] / found.photograph.gray.shape[1]
    return replace(photograph, mistaken=found.boxes[wrong] * across)


def _trained(
    job: DetectorJob, training: list[Photograph], held_out: list[Photograph], start: keras.Model | None
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train on windows of photographs; those with more faces come more often."""
    further = read_fer2013(job.faces)["Training"].crops if job.faces else None
    log.info("%s to train on, %d held out", number_of(len(training), "photograph"), len(held_out))

    def cut(index: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        photograph = training[index]
        window = cut_window(
            photograph.gray, photograph.faces, photograph.mistaken, job.settings.window_size, further, rng
        )
        return window.pixels, window.faces

    places = [(one.faces[:, 3] >= NATIVE).sum() + len(one.mistaken) for one in training]
    weights = 0.5 + np.sqrt(places)
    data = hashlib.sha256(job.boxes.read_bytes()).hexdigest() + (" and faces" if job.faces else "")
    data += f" from {fingerprint(job.start_from)}" if job.start_from else ""
    if not job.resume:
        _checkpoint(job).unlink(missing_ok=True)
    output = job.output
    callbacks = (
        AveragePrecision(held_out),
        keras.callbacks.TensorBoard(output.with_suffix(".tensorboard"), write_graph=False),
        EpochLog(output.with_suffix(".csv")),
    )
    return train_detector(cut, weights, job.settings, data, _checkpoint(job), callbacks, start)


def _checkpoint(job: DetectorJob) -> Path:
    return job.output.with_suffix(".checkpoint.npz")


def _calibrated(found: list[FoundFaces]) -> tuple[float, float]:
    """Slope and intercept by which the scores' logits become those of probabilities (Platt 1999).

    Where nothing was found, or nothing wrong, the scores are left as they are.
    """
    scores = np.concatenate([one.scores for one in found])
    hits = np.concatenate([one.matches().hit for one in found])
    if not {0, 1} <= set(hits):
        return 1.0, 0.0
    return platt_scaling(np.log(scores / (1 - scores))[hits >= 0], hits[hits >= 0] == 1)


def _figures(found: list[FoundFaces]) -> dict[str, Any]:
    """Recall where precision is 95 % on the photographs held out, and average precision by fit and size."""
    threshold, recall, precision = curve_of(found).at_precision(PRECISION)
    return {
        "photographs": len(found),
        "faces": int(sum(one.matches().asked.sum() for one in found)),
        "threshold": threshold,
        "recall": recall,
        "precision": precision,
        "average_precision": {
            f"IoU {fit}, {low} to {high} px": round(curve_of(found, fit, (low, high)).average_precision, 4)
            for fit in (FITS, 0.5)
            for low, high in _SIZES
        },
    }


def _validated(one: FoundFaces, known: dict[str, KnownFaces]) -> ValidatedPhotograph:
    """What the pictures need of a photograph, true faces in its own pixels."""
    seen = one.photograph
    crops = verifier_crops(cut_patches(seen.gray, one.boxes))
    best = np.arange(len(one.boxes))
    return ValidatedPhotograph(seen.path, known[seen.path].faces, crops, one.scores, one.matches(), best)
