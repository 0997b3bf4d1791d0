"""Photographs with known faces, mined for crops, split by photograph."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from batch.outcome import ImageError
from batch.settings import DetectorSettings, WorkerSettings
from jobs.training.mining import MinedPhotograph, mine_photograph, mine_windows
from model.errors import DataError
from model.progress import counted

NEGATIVES = 60
"""Crops without a face that are kept of each detector's in a photograph to train on, drawn at random."""


@dataclass(frozen=True)
class KnownFaces:
    """A photograph's true faces (F, 4) in pixels, and its long side."""

    faces: np.ndarray
    long_side: float


def read_boxes(file: Path) -> dict[str, KnownFaces]:
    """Read {path: {"width", "height", "boxes_xywh": [[x, y, width, height], …]}}; raises DataError if it is not."""
    try:
        return {
            path: KnownFaces(
                np.array(entry["boxes_xywh"], float).reshape(-1, 4), float(max(entry["width"], entry["height"]))
            )
            for path, entry in json.loads(file.read_text("utf-8")).items()
        }
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        form = '{"path": {"width": …, "height": …, "boxes_xywh": [[x, y, width, height], …]}, …}'
        raise DataError(f"{file}: expected {form}; {type(error).__name__}: {error}.") from error


def check_photographs(root: Path, known: Iterable[str], boxes: Path) -> None:
    """Raise DataError unless every photograph that ``boxes`` names lies below ``root``."""
    missing = [path for path in known if not (root / path).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{boxes} names {missing[0]}{more}, and no such photograph lies below {root}.")


def split(paths: list[str], held_out: float, seed: int) -> tuple[list[str], list[str]]:
    """Photographs to train on and to validate on, the same for the same seed whatever their order."""
    ordered = np.array(sorted(paths))
    drawn = np.random.default_rng(seed).permutation(len(ordered))
    count = round(len(ordered) * held_out)
    return sorted(ordered[drawn[count:]].tolist()), sorted(ordered[drawn[:count]].tolist())


def mine(
    root: Path,
    known: dict[str, KnownFaces],
    paths: list[str],
    everything: bool,
    detectors: tuple[DetectorSettings, ...],
    jobs: int,
) -> list[MinedPhotograph]:
    """Mine photographs; ``everything`` keeps all of the proposals and adds nothing to them."""
    work = (delayed(_mine)(root, path, known[path].faces, everything, detectors) for path in paths)
    return list(counted(Parallel(jobs, return_as="generator")(work), len(paths), "proposing faces in photographs"))


def _mine(
    root: Path, path: str, faces: np.ndarray, everything: bool, detectors: tuple[DetectorSettings, ...]
) -> MinedPhotograph:
    """What each of the detectors proposes; to train on, also the true faces, shifted, once for all detectors."""
    shifted = [0 if everything or detector != detectors[0] else 4 for detector in detectors]
    try:
        every = [
            mine_photograph(root, path, faces, WorkerSettings(detector), times)
            for detector, times in zip(detectors, shifted, strict=True)
        ]
    except ImageError as error:
        raise DataError(f"{root / path}: {error.reason}.") from error
    kept = [np.arange(len(mined.fit)) if everything else _to_train_on(mined) for mined in every]
    columns = [
        np.concatenate([getattr(mined, name)[rows] for mined, rows in zip(every, kept, strict=True)])
        for name in ("boxes", "crops", "fit", "proposed")
    ]
    return MinedPhotograph(path, *columns)


def windows(root: Path, paths: list[str], jobs: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What a glance and the verifier see of all that the cascade proposes, photograph by photograph."""
    work = (delayed(_windows)(root, path) for path in paths)
    return counted(Parallel(jobs, return_as="generator")(work), len(paths), "glancing at photographs")


def _windows(root: Path, path: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        return mine_windows(root, path, WorkerSettings())
    except ImageError as error:
        raise DataError(f"{root / path}: {error.reason}.") from error


def _to_train_on(mined: MinedPhotograph) -> np.ndarray:
    """Numbers of the crops that have something of a face, and of some that have not."""
    rng = np.random.default_rng(list(mined.path.encode()))
    negatives = rng.permutation(np.flatnonzero(mined.fit < 0.3))[:NEGATIVES]
    return np.sort(np.concatenate([np.flatnonzero(mined.fit >= 0.3), negatives]))


def save_mined(file: Path, photographs: list[MinedPhotograph]) -> None:
    """Keep what was mined, for a training that goes on after a kill."""
    unfinished = file.with_suffix(".unfinished")
    with unfinished.open("wb") as stream:
        np.savez(
            stream,
            paths=np.array([photograph.path for photograph in photographs]),
            counts=np.array([len(photograph.boxes) for photograph in photographs]),
            boxes=np.concatenate([photograph.boxes for photograph in photographs]),
            crops=np.concatenate([photograph.crops for photograph in photographs]),
            fit=np.concatenate([photograph.fit for photograph in photographs]),
            proposed=np.concatenate([photograph.proposed for photograph in photographs]),
        )
    unfinished.replace(file)


def load_mined(file: Path) -> Iterator[MinedPhotograph]:
    """What ``save_mined`` has kept."""
    with np.load(file) as saved:
        ends = np.cumsum(saved["counts"])[:-1]
        columns = [np.split(saved[name], ends) for name in ("boxes", "crops", "fit", "proposed")]
        yield from (MinedPhotograph(str(path), *row) for path, *row in zip(saved["paths"], *columns, strict=True))
