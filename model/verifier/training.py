"""Training the face verifier from labelled crops, and calibrating it on what it will be asked."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from model.bundle import ModelCard, load_network
from model.data.crops import LabelledCrops
from model.device import compute_reproducibly
from model.layers import start_from
from model.training.batches import TrainingSet, TrainingSettings, VariantBatches
from model.training.loop import train
from model.verifier.network import FACE_LABELS, verifier_network

_AT_A_TIME = 4096
_TO_MEASURE = 1024
"""Crops by which batch normalisation is measured that has to be undone, where a training goes on."""


def face_crops(crops: np.ndarray, faceness: np.ndarray) -> LabelledCrops:
    """Crops (N, 48, 48) and how much of a face each is (N,), 0 to 1, as a data set of two labels.

    Both labels weigh the same in the whole, however many crops each has.
    """
    truth = (faceness >= 0.5).astype(int)
    share = np.bincount(truth, minlength=2) / max(1, len(truth))
    weights = (0.5 / np.maximum(share, 1e-6))[truth].astype("float32")
    targets = np.column_stack([1 - faceness, faceness]).astype("float32")
    return LabelledCrops(crops, FACE_LABELS, {"face": targets}, {"face": weights}, {"face": truth})


def without_surroundings(crops: np.ndarray, context: float) -> np.ndarray:
    """Replace all of crops (N, 48, 48) but their middle, 1 / ``context`` of the side, by repeating its border.

    So look boxes at the border of a photograph, and faces that come without a photograph.
    """
    margin = round(crops.shape[1] * (1 - 1 / context) / 2)
    inner = crops[:, margin:-margin, margin:-margin]
    return np.pad(inner, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def tight_faces(crops: np.ndarray, context: float) -> np.ndarray:
    """Face crops (N, 48, 48) that came without a photograph, shrunk into the middle of crops with context."""
    inner = crops.shape[1] - 2 * round(crops.shape[1] * (1 - 1 / context) / 2)
    margin = (crops.shape[1] - inner) // 2
    pixels = keras.ops.image.resize(crops[..., None].astype("float32"), (inner, inner), antialias=True)
    small = np.clip(np.round(np.asarray(pixels)[..., 0]), 0, 255).astype(np.uint8)
    return np.pad(small, ((0, 0), (margin, margin), (margin, margin)), mode="edge")


def train_verifier(
    training: LabelledCrops,
    validation: LabelledCrops,
    settings: TrainingSettings,
    checkpoint: Path,
    callbacks: tuple[keras.callbacks.Callback, ...] = (),
    start: ModelCard | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train the verifier, from the weights of the shipped one ``start`` on if there is one.

    Gives the network with its logits, and the history.
    """
    compute_reproducibly()
    keras.utils.set_random_seed(settings.seed)
    network, sets = verifier_network(), [TrainingSet("faces", training, validation)]
    if start is not None:
        start_from(network, load_network(start), VariantBatches(sets, replace(settings, batch_size=_TO_MEASURE))[0][0])
    sha256 = start.sha256 if start else None
    history = train(network, sets, settings, checkpoint, callbacks, sha256)
    return network, history


def face_margins(trained: keras.Model, crops: np.ndarray) -> np.ndarray:
    """By how much the logit of a face exceeds that of no face, (N,), in the mean of each crop and its mirror image."""
    margins = np.zeros(len(crops))
    for start in range(0, len(crops), _AT_A_TIME):
        pixels = crops[start : start + _AT_A_TIME, ..., None].astype("float32")
        for view in (pixels, pixels[:, :, ::-1]):
            logits = np.asarray(trained.predict(view, batch_size=256, verbose=0)["face"], float)
            margins[start : start + _AT_A_TIME] += (logits[:, 1] - logits[:, 0]) / 2
    return margins


_LEAST_STEP = 1e-9


def platt_scaling(margins: np.ndarray, is_face: np.ndarray, steps: int = 50) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of ``is_face`` (N,) on ``margins`` (N,), by Newton's method.

    The targets are Platt's (1999), drawn in from 0 and 1 a little, so that a perfect separation has a solution.
    """
    faces, others = is_face.sum(), (~is_face).sum()
    target = np.where(is_face, (faces + 1) / (faces + 2), 1 / (others + 2))
    inputs, weights = np.column_stack([margins, np.ones(len(margins))]), np.array([1.0, 0.0])

    def loss(line: np.ndarray) -> float:
        logits = inputs @ line
        return float((np.logaddexp(0, logits) - target * logits).sum())

    for _ in range(steps):
        probability = 1 / (1 + np.exp(-np.clip(inputs @ weights, -30, 30)))
        curvature = inputs.T @ (inputs * (probability * (1 - probability))[:, None]) + 1e-6 * np.eye(2)
        step = np.linalg.solve(curvature, inputs.T @ (probability - target))
        while loss(weights - step) > loss(weights) and np.abs(step).max() > _LEAST_STEP:
            step = step / 2  # where few samples are known, a whole step may lead far off
        weights = weights - step
    return float(weights[0]), float(weights[1])
