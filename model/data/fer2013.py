"""FER2013 with its own labels and with the crowd votes of FER+."""

from pathlib import Path

import numpy as np
import pandas as pd

from model.data.crops import CROP_SIZE, OWN, VOTES, LabelledCrops
from model.data.image_files import with_border
from model.data.parts import ALL
from model.errors import DataError
from model.labels import EMOTIONS, FER2013_IDS, FERPLUS_COLUMNS


def read_fer2013(csv: Path, votes: Path | None = None) -> dict[str, LabelledCrops]:
    """Read ``fer2013.csv`` (any compression pandas knows) into one set per ``Usage``.

    The labelling ``emotion`` holds FER2013's own labels. With ``votes`` (FER+'s ``fer2013new.csv``, joined by row
    order because its image names drift) there is a second one, ``votes``: see ``vote_targets``.
    """
    table = _read_rows(csv)
    pixels = np.fromstring(" ".join(table["pixels"]), dtype=np.int16, sep=" ")
    if pixels.size != len(table) * CROP_SIZE**2 or ((pixels < 0) | (pixels > 255)).any():
        raise DataError(
            f"{csv}: expected {CROP_SIZE}x{CROP_SIZE} gray levels 0-255 in each row of the column 'pixels'."
        )
    own = np.array([EMOTIONS.index(FER2013_IDS[i]) for i in table["emotion"]])
    targets = {OWN: np.eye(len(EMOTIONS), dtype="float32")[own]}
    weights, truth = {OWN: np.ones(len(table), "float32")}, {OWN: own}
    if votes is not None:
        counts = _read_votes(votes, csv, len(table))
        targets[VOTES], weights[VOTES] = vote_targets(counts)
        truth[VOTES] = majority(counts)
    images = pixels.astype(np.uint8).reshape(-1, CROP_SIZE, CROP_SIZE)
    crops = LabelledCrops(with_border(images), EMOTIONS, targets, weights, truth)
    if "Usage" not in table:
        return {ALL: crops}
    return {usage: crops.take(np.asarray(table["Usage"] == usage)) for usage in sorted(table["Usage"].unique())}


def _read_rows(csv: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(csv, dtype={"emotion": "int8", "pixels": str, "Usage": str})
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{csv} cannot be read as fer2013.csv: {error}") from error
    if not len(table) or not table["emotion"].between(0, len(FER2013_IDS) - 1).all() or table.isna().any(axis=None):
        raise DataError(f"{csv}: expected rows with an emotion of 0 to {len(FER2013_IDS) - 1} and no empty field.")
    return table


def _read_votes(votes: Path, csv: Path, rows: int) -> np.ndarray:
    """The vote counts (rows, 10) of the first ``rows`` rows; fer2013.csv may lack its end, but not its beginning."""
    try:
        counts = pd.read_csv(votes).iloc[:rows, 2:].to_numpy("float32")
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{votes} cannot be read as FER+'s fer2013new.csv: {error}") from error
    if counts.shape != (rows, len(FERPLUS_COLUMNS)):
        raise DataError(
            f"{votes}: received {counts.shape[0]} rows of {counts.shape[1]} votes, expected {rows} of "
            f"{len(FERPLUS_COLUMNS)} as in {csv}."
        )
    return np.asarray(counts)


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
