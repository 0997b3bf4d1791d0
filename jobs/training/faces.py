"""Training the face verifier, from photographs with boxes to a calibrated model on disk: once through."""

import logging
import shlex
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from batch.detection.crop import CONTEXT
from batch.detection.verification import merged
from batch.names import number_of
from batch.settings import DetectorSettings
from jobs.training.detection_metrics import curve, match
from jobs.training.face_figures import ValidatedPhotograph, draw_figures, in_words
from jobs.training.face_sets import KnownFaces, check_photographs, load_mined, mine, read_boxes, save_mined, split
from jobs.training.glance import train_and_export
from jobs.training.mining import MinedPhotograph
from model.bundle import DETECTOR_MODEL, load_network, read_card, save_bundle
from model.data.crops import LabelledCrops
from model.data.fer2013 import read_fer2013
from model.layers import check_fits
from model.progress import doing
from model.training.batches import TrainingSettings
from model.training.log import EpochLog
from model.verifier.network import FACE_LABELS, calibrated_network, verifier_network
from model.verifier.training import (
    face_crops,
    face_margins,
    platt_scaling,
    tight_faces,
    train_verifier,
    without_surroundings,
)

log = logging.getLogger("annotate.train")

PRECISION = 0.95
_BARE = 0.15
"""Share of the crops that are trained on without their surroundings."""
_BESIDE, _ON = 0.3, 0.5
"""Intersections over union of a box with a face below which it is beside the face, and above which it is on it."""


_PROPOSERS = (
    DetectorSettings(),
    *(DetectorSettings("cnn", size, model=DETECTOR_MODEL) for size in (480, 640, 960)),
)
"""Whose proposals are trained on: those of every detector that the verifier has a say in. It is calibrated and measured
on those of the first, the default."""


@dataclass(frozen=True)
class FaceTraining:
    """What to train on, where to put the model, and how."""

    photographs: Path
    boxes: Path
    faces: Path | None
    output: Path
    settings: TrainingSettings
    held_out: float = 0.2
    jobs: int = 1
    resume: bool = False
    start_from: Path | None = None
    """Verifier whose weights are trained further."""


def train_faces(job: FaceTraining) -> None:
    """Mine, train, calibrate and measure on the photographs held out, teach the glance, save, draw.

    Raises DataError if the photographs or the boxes lack what is needed, TrainingError if the start is another network.
    """
    known, start = read_boxes(job.boxes), read_card(job.start_from) if job.start_from else None
    check_photographs(job.photographs, known, job.boxes)
    if start is not None:
        check_fits(verifier_network(), load_network(start))
    job.output.parent.mkdir(parents=True, exist_ok=True)
    mined, held_out = (_mined(job, known, everything) for everything in (False, True))
    checkpoint = job.output.with_suffix(".checkpoint.npz")
    if not job.resume:
        checkpoint.unlink(missing_ok=True)
    training, validation = _training_set(job, mined), _validation_set(held_out)
    log.info("%d crops to train on, %d of them faces", len(training), (training.truth["face"] == 1).sum())
    trained, history = train_verifier(
        training, validation, job.settings, checkpoint, (EpochLog(job.output.with_suffix(".csv")),), start
    )
    with doing("calibrating, and measuring on the photographs held out"):
        network, photographs = _calibrated(trained, held_out, known)
    paths, others = split(list(known), job.held_out, job.settings.seed)
    glance = job.output.with_suffix(".glance.onnx")
    facts = {
        "validation": _figures(photographs),
        "glance": train_and_export(job.photographs, paths, others, network, glance, job.jobs, job.settings.seed),
        "training": {
            "photographs": len(mined),
            "crops": len(training),
            **asdict(job.settings),
            "epochs_done": len(history["val_loss"]),
        },
        "command": shlex.join(["annotate-train", *sys.argv[1:]]),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    with doing(f"writing {job.output}, and the same network as ONNX"):
        save_bundle(network, job.output, FACE_LABELS, facts, validation.images)
    with doing("drawing the pictures"):
        draw_figures(job.photographs, photographs, job.output.with_suffix(""))
    for left in (checkpoint, _proposals(job, "training"), _proposals(job, "validation")):
        left.unlink(missing_ok=True)
    fields = {"validation": facts["validation"]}
    log.info("wrote %s: %s", job.output, in_words(facts["validation"]), extra={"fields": fields})


def _mined(job: FaceTraining, known: dict[str, KnownFaces], everything: bool) -> list[MinedPhotograph]:
    """The crops of one side of the split; with ``resume`` those that a killed training has mined."""
    side = "validation" if everything else "training"
    kept = _proposals(job, side)
    paths = split(list(known), job.held_out, job.settings.seed)[everything]
    if job.resume and kept.exists():
        return list(load_mined(kept))
    log.info("proposing faces in %s (%s)", number_of(len(paths), "photograph"), side)
    detectors = (DetectorSettings(),) if everything else _PROPOSERS
    photographs = mine(job.photographs, known, paths, everything, detectors, job.jobs)
    save_mined(kept, photographs)
    return photographs


def _proposals(job: FaceTraining, side: str) -> Path:
    """Where the crops of a side are kept until the training has ended."""
    return job.output.with_suffix(f".{side}.npz")


def _training_set(job: FaceTraining, mined: list[MinedPhotograph]) -> LabelledCrops:
    """What was mined, and FER2013's faces."""
    crops = np.concatenate([photograph.crops for photograph in mined])
    faceness = _faceness(mined)
    rng = np.random.default_rng(job.settings.seed)
    bare = rng.random(len(crops)) < _BARE
    crops[bare] = without_surroundings(crops[bare], CONTEXT)
    if job.faces is not None:
        faces = read_fer2013(job.faces)["Training"].crops
        drawn = rng.permutation(len(faces))[: round(_BARE * (faceness >= 0.5).sum())]
        crops = np.concatenate([crops, tight_faces(faces[drawn], CONTEXT)])
        faceness = np.concatenate([faceness, np.ones(len(drawn))])
    return face_crops(crops, faceness)


def _validation_set(held_out: list[MinedPhotograph]) -> LabelledCrops:
    return face_crops(np.concatenate([photograph.crops for photograph in held_out]), _faceness(held_out))


def _faceness(mined: list[MinedPhotograph]) -> np.ndarray:
    """1 for a box on a face, 0 for one beside it, between the two in between: so the best box has the best score."""
    fit = np.concatenate([photograph.fit for photograph in mined])
    return np.clip((fit - _BESIDE) / (_ON - _BESIDE), 0, 1)


def _calibrated(
    trained: keras.Model, held_out: list[MinedPhotograph], known: dict[str, KnownFaces]
) -> tuple[keras.Model, list[ValidatedPhotograph]]:
    """Calibrate on the boxes that are left of the photographs held out once the overlapping ones are merged."""
    margins = face_margins(trained, np.concatenate([photograph.crops for photograph in held_out]))
    each = np.split(margins, np.cumsum([len(photograph.boxes) for photograph in held_out])[:-1])
    first = _merged(held_out, [_sigmoid(margin) for margin in each], known)
    margins, hits = np.concatenate([margin[p.best] for margin, p in zip(each, first, strict=True)]), _hits(first)
    slope, intercept = platt_scaling(margins[hits >= 0], hits[hits >= 0] == 1)
    shipped = calibrated_network(trained, slope, intercept)
    photographs = _merged(held_out, [_sigmoid(slope * margin + intercept) for margin in each], known)
    return shipped, photographs


def _merged(
    held_out: list[MinedPhotograph], probabilities: list[np.ndarray], known: dict[str, KnownFaces]
) -> list[ValidatedPhotograph]:
    """The photographs held out, with the boxes left of them after merging and what those hit."""
    photographs = []
    for mined, probability in zip(held_out, probabilities, strict=True):
        best, boxes = merged(mined.boxes, probability, _PROPOSERS[0].spec.overlap)
        truth = known[mined.path]
        matches = match(boxes, probability[best], truth.faces, truth.long_side)
        photographs.append(
            ValidatedPhotograph(mined.path, truth.faces, mined.crops[best], probability[best], matches, best)
        )
    return photographs


def _hits(photographs: list[ValidatedPhotograph]) -> np.ndarray:
    return np.concatenate([photograph.matches.hit for photograph in photographs])


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -60, 60))))


def _figures(photographs: list[ValidatedPhotograph]) -> dict[str, float]:
    """Recall and precision where precision is 95 % on the photographs held out."""
    of_all = curve((photograph.scores, photograph.matches) for photograph in photographs)
    threshold, recall, precision = of_all.at_precision(PRECISION)
    return {
        "photographs": len(photographs),
        "faces": int(sum(photograph.matches.asked.sum() for photograph in photographs)),
        "threshold": threshold,
        "recall": recall,
        "precision": precision,
    }
