"""Batched inference: crops in, probabilities out, always in batches of one shape."""

from typing import Any

import numpy as np

from model.bundle import ModelCard, load_network
from model.data.crops import CROP_SIZE
from model.layers import without_normalisation
from model.progress import counted


class Classifier:
    """A network on its device, compiled once for one batch shape."""

    def __init__(self, card: ModelCard, batch_size: int) -> None:
        self.labels, self.batch_size = card.labels, batch_size
        self._network: Any = without_normalisation(load_network(card))
        self._network.compile(jit_compile=False)

    def predict(self, crops: np.ndarray) -> np.ndarray:
        """Probabilities (N, labels) float32 for crops (N, 48, 48) uint8.

        The last batch is padded, so that there is one compiled function and a face's numbers do not depend on how
        many faces came with it.
        """
        starts = range(0, len(crops), self.batch_size)
        batches = [
            self._predict_batch(crops[i : i + self.batch_size])
            for i in counted(starts, len(starts), f"batches of {self.batch_size} faces")
        ]
        return np.concatenate(batches) if batches else np.empty((0, len(self.labels)), np.float32)

    def _predict_batch(self, crops: np.ndarray) -> np.ndarray:
        pixels = np.zeros((self.batch_size, CROP_SIZE, CROP_SIZE, 1), np.float32)
        pixels[: len(crops), ..., 0] = crops
        return np.asarray(self._network.predict_on_batch(pixels))[: len(crops)]
