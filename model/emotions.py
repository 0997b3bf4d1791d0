"""Training the emotion CNN from a data set on disk to a model on disk: the way of the data, once through."""

import logging
import shlex
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.bundle import save_bundle
from model.datasets import LabelledCrops, read_fer2013, without
from model.errors import DataError
from model.metrics import Figures, measure
from model.network import inference_network, training_network
from model.training import TrainingSettings, calibrate_temperature, train

log = logging.getLogger("annotate.train")


@dataclass(frozen=True)
class EmotionTraining:
    """What to train on, where to put the model, and how."""

    faces: Path
    votes: Path | None
    output: Path
    settings: TrainingSettings
    mixed_precision: bool = False
    resume: bool = False


def train_emotions(job: EmotionTraining) -> Figures:
    """Train, calibrate, evaluate on the validation split and save; gives the figures on that split.

    Raises DataError if the data lacks what is needed.
    """
    train_crops, validation = _split(job)
    checkpoint = job.output.with_suffix(".checkpoint.npz")
    job.output.parent.mkdir(parents=True, exist_ok=True)
    if not job.resume:
        checkpoint.unlink(missing_ok=True)
    keras.utils.set_random_seed(job.settings.seed)
    keras.mixed_precision.set_global_policy("mixed_bfloat16" if job.mixed_precision else "float32")
    trained = training_network(train_crops.targets, len(train_crops.labels))
    history = train(
        trained,
        train_crops,
        validation,
        job.settings,
        checkpoint,
        (EpochLog(), keras.callbacks.TensorBoard(job.output.with_suffix(".tensorboard"), write_graph=False)),
    )
    keras.mixed_precision.set_global_policy("float32")
    labelling = "votes" if "votes" in train_crops.targets else "emotion"
    network, figures = _finish(trained, validation, labelling)
    facts = {
        "validation": figures.as_json(),
        "training": {"images": len(train_crops), **asdict(job.settings), "epochs_done": len(history["val_loss"])},
        "command": shlex.join(["annotate-train", *sys.argv[1:]]),
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
    }
    save_bundle(network, job.output, train_crops.labels, facts)
    checkpoint.unlink(missing_ok=True)
    log.info("wrote %s: validation accuracy %.4f, mean recall %.4f", job.output, figures.accuracy, figures.mean_recall)
    return figures


def _split(job: EmotionTraining) -> tuple[LabelledCrops, LabelledCrops]:
    sets = read_fer2013(job.faces, job.votes)
    if not {"Training", "PublicTest"} <= sets.keys():
        raise DataError(f"{job.faces}: expected rows of Usage Training and PublicTest, received {', '.join(sets)}.")
    train_crops = without(sets["Training"], sets["PublicTest"])
    copies = job.settings.copies
    log.info(
        "%d images become %d in %d variants each; %d to validate on; %d left out because they stand on both sides",
        len(train_crops),
        len(train_crops) * copies,
        copies,
        len(sets["PublicTest"]),
        len(sets["Training"]) - len(train_crops),
    )
    return train_crops, sets["PublicTest"]


def _finish(trained: keras.Model, validation: LabelledCrops, labelling: str) -> tuple[keras.Model, Figures]:
    """Calibrate on the validation split and measure there."""
    pixels = validation.images[..., None].astype("float32")
    logits = trained.predict(pixels, batch_size=256, verbose=0)
    temperature = calibrate_temperature(logits[labelling], validation.targets[labelling], validation.weights[labelling])
    network = inference_network(trained, {labelling: 1.0}, temperature)
    probabilities = np.asarray(network.predict(pixels, batch_size=256, verbose=0))
    counted = validation.truth[labelling] >= 0
    return network, measure(probabilities[counted], validation.truth[labelling][counted], validation.labels)


class EpochLog(keras.callbacks.Callback):
    """Log one line per epoch."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the epoch's losses and accuracies and how long it took."""
        figures = "  ".join(f"{name} {figure:.4f}" for name, figure in (logs or {}).items())
        log.info("epoch %d/%d  %.0f s  %s", epoch + 1, self.params["epochs"], time.monotonic() - self._started, figures)
