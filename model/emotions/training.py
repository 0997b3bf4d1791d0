"""Training the emotion CNN from a data set on disk to a model on disk: the way of the data, once through."""

import logging
import platform
import shlex
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.bundle import load_network, read_card, save_bundle
from model.data.crops import LabelledCrops
from model.data.datasets import read_parts
from model.data.split import split_parts
from model.device import choose_device, compute_reproducibly
from model.emotions.network import inference_network, start_from, training_network
from model.errors import DataError
from model.evaluation.metrics import Figures
from model.evaluation.pictures import write_pictures
from model.evaluation.predictions import Predictions, predictions
from model.training.distillation import taught
from model.training.log import EpochLog, TensorBoardPictures, sheet_png
from model.training.loop import TrainingSettings, calibrate_temperature, train

log = logging.getLogger("annotate.train")

_PACKAGES = ("emotion-annotate", "keras", keras.backend.backend(), "numpy", "pillow")


@dataclass(frozen=True)
class EmotionTraining:
    """What to train on, where to put the model, and how."""

    faces: Path
    votes: Path | None
    output: Path
    settings: TrainingSettings
    mixed_precision: bool = False
    resume: bool = False
    labels: tuple[str, ...] | None = None
    """The classes of the data if they are not the emotions; the order of the output's columns."""
    head_shares: dict[str, float] = field(default_factory=dict)
    """How much each labelling's head counts in the model (sum 1); empty: the crowd votes alone, if there are any."""
    device: str = "auto"
    start_from: Path | None = None
    """A model of this network to go on from, instead of random weights."""
    teachers: tuple[tuple[str, Path], ...] = ()
    """Labellings, and models whose answers are to be learned beside them."""


def train_emotions(job: EmotionTraining, callbacks: tuple[keras.callbacks.Callback, ...] = ()) -> Figures:
    """Train, calibrate, evaluate on the validation part and save; gives the figures on that part.

    Raises DataError, TrainingError or DeviceError if the data, the checkpoint or the machine lack what is needed.
    """
    device, start = choose_device(job.device), read_card(job.start_from) if job.start_from else None
    compute_reproducibly()
    crops, validation = _read(job)
    shares = _shares(job, crops)
    _log_sizes(crops, validation, job.settings.copies, device)
    for labelling in dict(job.teachers):
        if labelling not in crops.targets:
            raise DataError(f"--teacher: expected {' or '.join(crops.targets)}=FILE, received {labelling}=….")
        cards = [read_card(file) for name, file in job.teachers if name == labelling]
        crops = taught(crops, labelling, cards)
    checkpoint = _prepare(job)
    keras.utils.set_random_seed(job.settings.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if job.mixed_precision else "float32")
    trained = training_network(crops.targets, len(crops.labels))
    if start is not None:
        start_from(trained, load_network(start), start.labels == crops.labels)
    history = train(
        trained,
        crops,
        validation,
        job.settings,
        checkpoint,
        (*callbacks, *_callbacks(job, crops, validation)),
        start.sha256 if start else None,
    )
    keras.mixed_precision.set_global_policy("float32")
    network, answers = _finish(trained, validation, shares)
    facts = _facts(job, crops, validation, answers.figures, shares, len(history["val_loss"]))
    save_bundle(network, job.output, crops.labels, facts | {"device": device})
    write_pictures(job.output.with_suffix(".figures"), answers, history)
    checkpoint.unlink(missing_ok=True)
    figures = answers.figures
    log.info("wrote %s: validation accuracy %.4f, mean recall %.4f", job.output, figures.accuracy, figures.mean_recall)
    return figures


def preview_variants(job: EmotionTraining, picture: Path) -> None:
    """Paint the variants of a few training images into ``picture`` (PNG) as training would draw them."""
    crops, _ = _read(job)
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(sheet_png(crops, job.settings))
    log.info("wrote %s: a row per image, %d variants each, the image itself first", picture, job.settings.copies)


def _read(job: EmotionTraining) -> tuple[LabelledCrops, LabelledCrops]:
    """The crops to train on and to validate on."""
    parts = read_parts(job.faces, job.votes, job.labels)
    crops, validation = split_parts(parts, job.settings.seed, job.faces)
    if job.labels and crops.labels != job.labels:
        raise DataError(
            f"{job.faces}: --labels goes with class folders and tables; this has {', '.join(crops.labels)}."
        )
    return crops, validation


def _shares(job: EmotionTraining, crops: LabelledCrops) -> dict[str, float]:
    shares = job.head_shares or {crops.labelling: 1.0}
    unknown = set(shares) - set(crops.targets)
    if unknown or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"Head shares: expected {' and '.join(crops.targets)} with sum 1, received {shares}.")
    return shares


def _log_sizes(crops: LabelledCrops, validation: LabelledCrops, copies: int, device: str) -> None:
    count = len(crops)
    log.info("labels: %s; training on %s", ", ".join(crops.labels), device)
    log.info("%d images become %d in %d variants each", count, count * copies, copies)
    log.info("%d images to validate on, without variants", len(validation))


def _prepare(job: EmotionTraining) -> Path:
    """Make the output's folder and, unless training goes on, put aside an earlier training's checkpoint; its place."""
    job.output.parent.mkdir(parents=True, exist_ok=True)
    checkpoint = job.output.with_suffix(".checkpoint.npz")
    if not job.resume:
        if checkpoint.exists():
            aside = checkpoint.replace(checkpoint.with_suffix(".previous.npz"))
            log.warning("not going on from the checkpoint there was (--resume would); it is kept as %s", aside)
        for events in job.output.with_suffix(".tensorboard").rglob("events.out.tfevents.*"):
            events.unlink()
    elif not checkpoint.exists():
        log.warning("no checkpoint at %s: training begins with the first epoch", checkpoint)
    return checkpoint


def _callbacks(
    job: EmotionTraining, crops: LabelledCrops, validation: LabelledCrops
) -> tuple[keras.callbacks.Callback, ...]:
    events = job.output.with_suffix(".tensorboard")
    return (
        EpochLog(job.output.with_suffix(".csv")),
        keras.callbacks.TensorBoard(events, write_graph=False),
        TensorBoardPictures(events / "pictures", crops, validation, job.settings),
    )


def _finish(
    trained: keras.Model, validation: LabelledCrops, shares: dict[str, float]
) -> tuple[keras.Model, Predictions]:
    """Merge the heads, calibrate on the validation part and predict there, by the labelling that counts most."""
    pixels, labelling = validation.images[..., None].astype("float32"), max(shares, key=lambda name: shares[name])
    heads = trained.predict(pixels, batch_size=256, verbose=0)
    logits = np.sum([share * np.asarray(heads[name]) for name, share in shares.items()], axis=0)
    truth = validation.truth[labelling]
    temperature = calibrate_temperature(logits[truth >= 0], truth[truth >= 0])
    network = inference_network(trained, shares, temperature)
    probabilities = np.asarray(network.predict(pixels, batch_size=256, verbose=0))
    return network, predictions(validation, probabilities, labelling)


def _facts(
    job: EmotionTraining,
    crops: LabelledCrops,
    validation: LabelledCrops,
    figures: Figures,
    shares: dict[str, float],
    epochs: int,
) -> dict[str, Any]:
    """What the model's .json says beside the labels."""
    return {
        "validation": figures.as_json(),
        "training": {
            "images": len(crops),
            "validation_images": len(validation),
            **asdict(job.settings),
            "mixed_precision": job.mixed_precision,
            "head_shares": shares,
            "epochs_done": epochs,
        },
        "data": {"training_sha256": crops.fingerprint(), "validation_sha256": validation.fingerprint()},
        "command": shlex.join(["annotate-train", *sys.argv[1:]]),
        "seed": job.settings.seed,
        "backend": keras.backend.backend(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }
