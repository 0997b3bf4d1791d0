"""Training the emotion CNN from data sets on disk to a model on disk: the way of the data, once through."""

import logging
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.bundle import ModelCard, load_network, read_card, save_bundle
from model.data.crops import OWN, VOTES, joined
from model.data.datasets import read_sets
from model.data.image_files import Cut
from model.data.split import split_sets
from model.data.trained_on import remembered
from model.device import choose_device, compute_reproducibly
from model.emotions.network import inference_network, start_from, training_network
from model.errors import DataError
from model.evaluation.pictures import write_pictures
from model.evaluation.predictions import Predict, Predictions, answers_by_set, pooled
from model.inference import Classifier
from model.progress import doing
from model.training.batches import TrainingSet, TrainingSettings
from model.training.distillation import taught
from model.training.log import EpochLog, TensorBoardPictures, sheet_png
from model.training.loop import calibrate_temperature, train

log = logging.getLogger("annotate.train")

_PACKAGES = ("emotion-annotate", "keras", keras.backend.backend(), "numpy", "pillow")


@dataclass(frozen=True)
class EmotionTraining:
    """What to train on, where to put the model, and how."""

    data: tuple[Path, ...]
    votes: Path | None
    output: Path
    settings: TrainingSettings
    mixed_precision: bool = False
    resume: bool = False
    labels: tuple[str, ...] | None = None
    """The classes of the data if they are not the emotions; the order of the output's columns."""
    weights: dict[str, float] = field(default_factory=dict)
    """How often the images of a data set come in an epoch on average, by its name; once where it is not named."""
    votes_share: float = 1.0
    """How much FER+'s votes count in FER2013's targets; the rest are its own labels."""
    device: str = "auto"
    start_from: Path | None = None
    """A model of this network to go on from, instead of random weights."""
    kept: float = 0.0
    """How much of the weights gone on from is kept: the mean of old and new knows both (Wortsman et al. 2022)."""
    teachers: tuple[Path, ...] = ()
    """Models whose answers are to be learned beside the labels."""
    cut: Cut | None = None
    """Cuts faces out of photographs, for data sets with boxes."""


def train_emotions(
    job: EmotionTraining, callbacks: tuple[keras.callbacks.Callback, ...] = ()
) -> dict[str, Predictions]:
    """Train, calibrate, evaluate on the validation parts and save; gives the answers on each of them.

    Raises DataError, TrainingError or DeviceError if the data, the checkpoint or the machine lack what is needed.
    """
    device, start = choose_device(job.device), read_card(job.start_from) if job.start_from else None
    compute_reproducibly()
    sets = _read(job, start)
    _log_sizes(sets, job.settings.copies, device)
    _log_kept(sets, start)
    if job.teachers:
        cards = [read_card(file) for file in job.teachers]
        sets = [replace(each, crops=taught(each.crops, OWN, cards)) for each in sets]
    checkpoint = _prepare(job)
    before = _answers(Classifier(start, 256).predict, sets) if start and start.labels == sets[0].crops.labels else {}
    _log_figures("before", before)
    keras.utils.set_random_seed(job.settings.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if job.mixed_precision else "float32")
    trained = training_network([OWN], len(sets[0].crops.labels))
    if start is not None:
        start_from(trained, load_network(start), start.labels == sets[0].crops.labels)
    old = [np.array(weight) for weight in trained.get_weights()]
    history = train(
        trained,
        sets,
        job.settings,
        checkpoint,
        (*callbacks, *_callbacks(job, sets)),
        start.sha256 if start else None,
    )
    keras.mixed_precision.set_global_policy("float32")
    trained.set_weights(averaged_weights(old, trained.get_weights(), job.kept))
    with doing("calibrating, and measuring on what is held out"):
        network = _calibrated(trained, sets)
        answers = _answers(_as_predict(network), sets)
    facts = _facts(job, sets, answers, before, len(history["val_loss"])) | {"device": device}
    with doing(f"writing {job.output}, and the same network as ONNX"):
        save_bundle(network, job.output, sets[0].crops.labels, facts, sets[0].validation.crops)
    with doing("drawing the pictures"):
        write_pictures(job.output.with_suffix(".figures"), pooled(answers.values()), history)
    checkpoint.unlink(missing_ok=True)
    _log_figures("validation", answers)
    log.info("wrote %s", job.output)
    return answers


def preview_variants(job: EmotionTraining, picture: Path) -> None:
    """Paint variants of a few images, such as training draws, into ``picture`` (PNG); raises DataError."""
    found = read_sets(job.data, job.votes, job.labels, job.cut)
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(sheet_png([joined(list(each.parts.values())) for each in found], job.settings))
    log.info("wrote %s: a row per image, %d variants each, the image itself first", picture, job.settings.copies)


def averaged_weights(old: list[np.ndarray], new: list[np.ndarray], kept: float) -> list[np.ndarray]:
    """``kept`` of the old weights and the rest of the new ones (Wortsman et al. 2022)."""
    return [kept * before + (1 - kept) * after for before, after in zip(old, new, strict=True)]


def _read(job: EmotionTraining, start: ModelCard | None) -> list[TrainingSet]:
    """What to train and to validate on. Whoever goes on from a model keeps its labels, also those without images."""
    labels = job.labels or (start.labels if start else None)
    found = read_sets(job.data, job.votes, labels, job.cut)
    same_labels = start is not None and start.labels == found[0].labels
    if job.kept and not same_labels:
        raise DataError("--keep goes with --start-from a model of the same labels.")
    if job.votes_share != 1 and job.votes is None:
        raise DataError("--votes-share goes with --votes.")
    unknown = job.weights.keys() - {each.name for each in found}
    if unknown:
        names = ", ".join(each.name for each in found)
        raise DataError(f"--weight: expected one of the data sets {names}, received {', '.join(sorted(unknown))}.")
    sets = [
        TrainingSet(name, crops, validation, job.weights.get(name, 1.0))
        for name, (crops, validation) in split_sets(found, job.settings.seed, same_labels).items()
    ]
    shares = {VOTES: job.votes_share, OWN: 1 - job.votes_share}
    return [
        replace(each, crops=each.crops.mixed(shares), validation=each.validation.mixed(shares))
        if VOTES in each.crops.targets
        else each
        for each in sets
    ]


def _log_sizes(sets: Sequence[TrainingSet], copies: int, device: str) -> None:
    log.info("labels: %s; training on %s", ", ".join(sets[0].crops.labels), device)
    for each in sets:
        count = len(each.crops)
        log.info("%s: %d images become %d in %d variants each", each.name, count, count * copies, copies)
        log.info("%s: %d images to validate on, without variants", each.name, len(each.validation))


def _log_kept(sets: Sequence[TrainingSet], start: ModelCard | None) -> None:
    """Say which labels the model that is gone on from has to know by itself."""
    shown = np.sum([each.crops.targets[OWN].sum(axis=0) for each in sets], axis=0)
    lacking = [label for label, share in zip(sets[0].crops.labels, shown, strict=True) if not share]
    if start and lacking:
        log.info("no image of %s: what %s knows of that is kept", ", ".join(lacking), start.path.name)


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


def _callbacks(job: EmotionTraining, sets: Sequence[TrainingSet]) -> tuple[keras.callbacks.Callback, ...]:
    events = job.output.with_suffix(".tensorboard")
    return (
        EpochLog(job.output.with_suffix(".csv")),
        keras.callbacks.TensorBoard(events, write_graph=False),
        TensorBoardPictures(events / "pictures", sets, job.settings),
    )


def _answers(predict: Predict, sets: Sequence[TrainingSet]) -> dict[str, Predictions]:
    return answers_by_set(predict, [(each.name, each.validation) for each in sets])


def _log_figures(when: str, answers: dict[str, Predictions]) -> None:
    for name, of_one in answers.items():
        figures = of_one.figures
        told = (when, name, figures.accuracy, figures.mean_recall, figures.images)
        log.info("%s: %s: accuracy %.4f, mean recall %.4f, %d images", *told)


def _as_predict(network: keras.Model) -> Predict:
    def predict(crops: np.ndarray) -> np.ndarray:
        return np.asarray(network.predict(crops[..., None].astype("float32"), batch_size=256, verbose=0))

    return predict


def _calibrated(trained: keras.Model, sets: Sequence[TrainingSet]) -> keras.Model:
    """The network that ships, its temperature chosen on the validation parts of all sets, each counting the same."""
    logits, truths, weights = [], [], []
    for each in sets:
        of_one = np.asarray(trained.predict(each.validation.crops[..., None].astype("float32"), 256, verbose=0)[OWN])
        for truth in each.validation.truth.values():
            known = truth >= 0
            logits.append(of_one[known])
            truths.append(truth[known])
            weights.append(np.full(known.sum(), 1 / max(1, known.sum()) / len(each.validation.truth)))
    temperature = calibrate_temperature(*(np.concatenate(part) for part in (logits, truths, weights)))
    return inference_network(trained, OWN, temperature)


def _facts(
    job: EmotionTraining,
    sets: Sequence[TrainingSet],
    answers: dict[str, Predictions],
    before: dict[str, Predictions],
    epochs: int,
) -> dict[str, Any]:
    """What the model's .json says beside the labels."""
    return {
        "validation": {name: of_one.figures.as_json() for name, of_one in answers.items()},
        **({"before": {name: of_one.figures.as_json() for name, of_one in before.items()}} if before else {}),
        "training": {
            "images": {each.name: len(each.crops) for each in sets},
            "validation_images": {each.name: len(each.validation) for each in sets},
            **asdict(job.settings),
            "weights": {each.name: each.weight for each in sets},
            "votes_share": job.votes_share,
            "kept": job.kept,
            "mixed_precision": job.mixed_precision,
            "epochs_done": epochs,
        },
        "data": {
            each.name: {
                "trained_on": remembered(each.crops),
                "training_sha256": each.crops.fingerprint(),
                "validation_sha256": each.validation.fingerprint(),
            }
            for each in sets
        },
        "command": shlex.join(["annotate-train", *sys.argv[1:]]),
        "seed": job.settings.seed,
        "backend": keras.backend.backend(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }
