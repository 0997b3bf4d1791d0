"""Training of the face detector on windows of photographs."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import keras
import numpy as np

from model.detector.loss import detector_loss
from model.detector.network import anchor_points, detector_network, flattened
from model.device import compute_reproducibly
from model.layers import start_from
from model.training.checkpoint import TrainingCheckpoint
from model.training.loop import fit, one_cycle

MOST_FACES = 32
"""Faces of a window that are learnt from at most."""

MISSED = "val_missed"
"""The figure that tells the best epoch: 1 - average precision on the photographs held out."""

CutWindow = Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]]
"""Cuts a window out of the photograph with that number: pixels (size, size) uint8, faces (F, 5) with their kind."""


@dataclass(frozen=True)
class DetectorTraining:
    """How the detector is trained. An epoch shows ``windows`` windows; each is drawn once and never again."""

    epochs: int = 60
    windows: int = 8192
    window_size: int = 256
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    patience: int = 30
    seed: int = 0


class WindowBatches(keras.utils.PyDataset):
    """Batches of windows, (N, size, size, 1) and (N, 32, 5), a function of seed, epoch and place in it alone.

    Photographs come in proportion to ``weights`` (P,).
    """

    def __init__(self, cut: CutWindow, weights: np.ndarray, settings: DetectorTraining, first_epoch: int = 0) -> None:
        super().__init__()
        self._cut, self._settings, self._epoch = cut, settings, first_epoch
        self._shares = weights / weights.sum()

    def __len__(self) -> int:
        return max(1, self._settings.windows // self._settings.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self._settings.seed, self._epoch, index))
        drawn = rng.choice(len(self._shares), self._settings.batch_size, p=self._shares)
        windows = [self._cut(int(photograph), rng) for photograph in drawn]
        truth = np.zeros((len(windows), MOST_FACES, 5), "float32")
        for row, (_, faces) in zip(truth, windows, strict=True):
            largest = np.argsort(-(faces[:, 3] - faces[:, 1]), kind="stable")[:MOST_FACES]
            row[: len(largest)] = faces[largest]
        return np.stack([pixels for pixels, _ in windows])[..., None].astype("float32"), truth

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's windows."""
        self._epoch += 1


def train_detector(
    cut: CutWindow,
    weights: np.ndarray,
    settings: DetectorTraining,
    data: str,
    checkpoint: Path,
    callbacks: tuple[keras.callbacks.Callback, ...],
    start: keras.Model | None = None,
) -> tuple[keras.Model, dict[str, list[float]]]:
    """Train the detector; gives it with three maps as outputs, and the history.

    ``data`` identifies what is trained on. ``start`` is a shipped network whose weights are gone on from. One of the
    ``callbacks`` puts ``MISSED`` into each epoch's figures. Goes on from ``checkpoint`` if that file exists.
    """
    compute_reproducibly()
    keras.utils.set_random_seed(settings.seed)
    network = detector_network(settings.window_size)
    in_a_row = keras.Model(network.input, flattened(network.output))
    batches = WindowBatches(cut, weights, settings)
    if start is not None:
        start_from(network, start, batches[0][0])
    steps = len(batches)
    in_a_row.compile(
        optimizer=_optimizer(settings, steps),
        loss=detector_loss(*anchor_points(settings.window_size, settings.window_size)),
        jit_compile=False,
    )
    precision = keras.config.dtype_policy().name
    keeper = TrainingCheckpoint(
        checkpoint, settings.patience, {**asdict(settings), "data": data, "precision": precision}, MISSED
    )
    history = fit(
        in_a_row,
        lambda first_epoch: WindowBatches(cut, weights, settings, first_epoch),
        settings.epochs,
        keeper,
        callbacks,
    )
    return network, history


def _optimizer(settings: DetectorTraining, steps: int) -> keras.optimizers.Optimizer:
    """AdamW with an epoch of warm-up, then a cosine down to zero, and an average of the weights."""
    return keras.optimizers.AdamW(
        one_cycle(settings.learning_rate, settings.epochs, steps, warmup_epochs=1),
        weight_decay=settings.weight_decay,
        clipnorm=10.0,
        use_ema=True,
        ema_momentum=math.exp(-1 / max(10, steps)),
    )
