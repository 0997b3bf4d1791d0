"""A training that can be killed at any instant and goes on from its last whole epoch."""

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from model.errors import TrainingError

AS_NAMED_NOW = {"val_accuracy": "val_mean_recall"}
"""Figures that older checkpoints have by another name."""


class TrainingCheckpoint(keras.callbacks.Callback):
    """Save the whole state of a training after each epoch, atomically, and stop it when it no longer improves.

    One ``.npz`` file holds the weights, the optimizer, the best weights so far and the history. It is EarlyStopping
    and BackupAndRestore in one, because Keras' two do not know of each other: after a kill, its EarlyStopping has
    forgotten the best weights and how long it has waited.

    ``identity`` says what is trained on what and how; a checkpoint of another training is not gone on with.
    """

    def __init__(self, path: Path, patience: int, identity: dict[str, Any], monitor: str = "val_loss") -> None:
        super().__init__()
        self._path, self._patience, self._monitor = path, patience, monitor
        self._identity = identity
        self.history: dict[str, list[float]] = {}
        self._best: list[np.ndarray] = []

    @property
    def stopped(self) -> bool:
        """Whether the last ``patience`` epochs brought nothing better."""
        losses = self.history.get(self._monitor, [])
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self._patience

    def restore(self, network: keras.Model, averager: keras.callbacks.SwapEMAWeights) -> int:
        """Put the saved state into ``network`` and its built optimizer; gives the epoch to go on with, or 0.

        The state was saved while ``averager`` had the averaged weights swapped in, so it is put in that position.
        Raises TrainingError if the file is damaged or was left by another training.
        """
        if not self._path.exists():
            return 0
        averager.set_params({"epochs": 0})
        averager.set_model(network)
        averager.on_epoch_end(0)
        try:
            with np.load(self._path) as saved:
                self._check_identity(json.loads(str(saved["identity"])))
                history = json.loads(str(saved["history"])).items()
                self.history = {AS_NAMED_NOW.get(name, name): figures for name, figures in history}
                self._best = [saved[f"best_{i}"] for i in range(len(network.weights))]
                for index, variable in enumerate(self._variables(network)):
                    variable.assign(saved[f"state_{index}"])
        except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
            raise TrainingError(f"{self._path} is damaged: {error}. Delete it and train without --resume.") from error
        return len(self.history[self._monitor])

    def restore_best(self, network: keras.Model) -> None:
        """Give ``network`` the weights of its best epoch."""
        if self._best:
            network.set_weights(self._best)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Record the epoch's figures and save; stop after ``patience`` epochs without improvement."""
        for name, figure in (logs or {}).items():
            self.history.setdefault(name, []).append(float(figure))
        losses = self.history[self._monitor]
        if not np.isfinite(losses[-1]):
            raise TrainingError(
                f"Training diverged in epoch {epoch + 1}: {self._monitor} is {losses[-1]}. Lower --learning-rate."
            )
        if losses[-1] <= min(losses):
            self._best = self.model.get_weights()
        self._save()
        self.model.stop_training = self.stopped

    def _check_identity(self, theirs: dict[str, Any]) -> None:
        ours = json.loads(json.dumps(self._identity))
        differing = [
            f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}"
            for name in sorted(ours.keys() | theirs.keys())
            if ours.get(name) != theirs.get(name)
        ]
        if differing:
            raise TrainingError(
                f"{self._path} was left by another training: {'; '.join(differing)}. "
                "Give the same data and options, or train without --resume."
            )

    def _save(self) -> None:
        arrays = {f"state_{i}": np.asarray(v) for i, v in enumerate(self._variables(self.model))}
        arrays |= {f"best_{i}": weight for i, weight in enumerate(self._best)}
        arrays["history"] = np.array(json.dumps(self.history))
        arrays["identity"] = np.array(json.dumps(self._identity))
        unfinished = self._path.with_suffix(".unfinished")
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)

    @staticmethod
    def _variables(network: keras.Model) -> list[Any]:
        """Everything that an epoch changes and the next one needs: weights, states of random draws, the optimizer."""
        return [*network.variables, *network.optimizer.variables]
