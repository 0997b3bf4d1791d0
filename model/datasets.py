"""Labelled face crops: FER2013 with its own labels and with the crowd votes of FER+."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from model.errors import DataError
from model.labels import EMOTIONS, FER2013_IDS, FERPLUS_COLUMNS
from model.network import CROP_SIZE


@dataclass(frozen=True)
class LabelledCrops:
    """Face crops with one or several labellings.

    ``images`` is (N, 48, 48) uint8. ``targets[name]`` is (N, labels) float32, each row a distribution over
    ``labels``; ``weights[name]`` is (N,) float32, how much a row counts in training; ``truth[name]`` is (N,) int, the
    one true label, or -1 where there is none and the row is left out of an evaluation.
    """

    images: np.ndarray
    labels: tuple[str, ...]
    targets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> "LabelledCrops":
        """The given rows (indices or a mask), in that order."""
        return LabelledCrops(
            self.images[rows],
            self.labels,
            {name: target[rows] for name, target in self.targets.items()},
            {name: weight[rows] for name, weight in self.weights.items()},
            {name: truth[rows] for name, truth in self.truth.items()},
        )


def read_fer2013(csv: Path, votes: Path | None = None) -> dict[str, LabelledCrops]:
    """Read ``fer2013.csv`` (any compression pandas knows) into one set per ``Usage``.

    The labelling ``emotion`` holds FER2013's own labels. With ``votes`` (FER+'s ``fer2013new.csv``, joined by row
    order because its image names drift) there is a second one, ``votes``: see ``vote_targets``.
    """
    table = pd.read_csv(csv, dtype={"emotion": "int8", "pixels": str, "Usage": "category"})
    pixels = np.fromstring(" ".join(table["pixels"]), dtype=np.uint8, sep=" ")
    if pixels.size != len(table) * CROP_SIZE**2:
        raise DataError(f"{csv}: expected {CROP_SIZE}x{CROP_SIZE} pixels in each row of the column 'pixels'.")
    own = np.array([EMOTIONS.index(FER2013_IDS[i]) for i in table["emotion"]])
    targets = {"emotion": np.eye(len(EMOTIONS), dtype="float32")[own]}
    weights, truth = {"emotion": np.ones(len(table), "float32")}, {"emotion": own}
    if votes is not None:
        counts = pd.read_csv(votes).iloc[: len(table), 2:].to_numpy("float32")
        if counts.shape != (len(table), len(FERPLUS_COLUMNS)):
            raise DataError(f"{votes}: received {counts.shape[0]} rows of votes, expected {len(table)} as in {csv}.")
        targets["votes"], weights["votes"] = vote_targets(counts)
        truth["votes"] = majority(counts)
    crops = LabelledCrops(pixels.reshape(-1, CROP_SIZE, CROP_SIZE), EMOTIONS, targets, weights, truth)
    return {usage: crops.take(np.asarray(table["Usage"] == usage)) for usage in table["Usage"].cat.categories}


def vote_targets(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn FER+ vote counts (N, 10) into distributions over ``EMOTIONS`` (N, 7) and row weights (N,).

    A single vote is taken for a slip and dropped, as FER+ does (Barsoum et al. 2016). The weight is the share of the
    votes that went to the seven emotions, so that a row which most called contempt or no face hardly counts.
    """
    counts = np.where(counts <= 1, 0, counts)
    seven = counts[:, [FERPLUS_COLUMNS.index(emotion) for emotion in EMOTIONS]]
    total = seven.sum(axis=1)
    share = np.divide(total, counts.sum(axis=1), out=np.zeros_like(total), where=counts.sum(axis=1) > 0)
    uniform = np.full_like(seven, 1 / len(EMOTIONS))
    return np.divide(seven, total[:, None], out=uniform, where=total[:, None] > 0), share


def majority(counts: np.ndarray) -> np.ndarray:
    """The hard FER+ label of each row of vote counts (N, 10) as an index into ``EMOTIONS`` (N,), -1 for none.

    Rows that contempt, unknown or no face wins, and rows without a vote left, have none. Ties go to the first in
    FER2013's order of ids.
    """
    counts = np.where(counts <= 1, 0, counts)
    seven = counts[:, [FERPLUS_COLUMNS.index(emotion) for emotion in FER2013_IDS]]
    others = counts[:, len(EMOTIONS) :].max(axis=1)
    winner = np.array([EMOTIONS.index(emotion) for emotion in FER2013_IDS])[seven.argmax(axis=1)]
    return np.where((seven.max(axis=1) > 0) & (seven.max(axis=1) >= others), winner, -1)


def image_keys(images: np.ndarray) -> np.ndarray:
    """A key per image (N,), equal for identical images and for mirror images of each other."""
    return np.array([min(image.tobytes(), image[:, ::-1].tobytes()) for image in images], dtype=object)


def without(train: LabelledCrops, held_out: LabelledCrops) -> LabelledCrops:
    """``train`` less every image that stands in ``held_out`` too, mirrored or not."""
    known = set(image_keys(held_out.images))
    return train.take(np.array([key not in known for key in image_keys(train.images)]))
