"""Crops to train the verifier on: what a detector proposes in photographs whose faces are known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batch.detection.boxes import iou
from batch.detection.crop import cut_patches, verifier_crops
from batch.detection.glance import cells
from batch.images.decode import read_photograph
from batch.settings import WorkerSettings
from batch.workers.worker import shared_detector, shrunken


@dataclass(frozen=True)
class MinedPhotograph:
    """Boxes of one photograph and how well each fits a true face.

    ``boxes`` (N, 4) are in pixels of the photograph, ``crops`` (N, 48, 48) uint8 have context, ``fit`` (N,) is the
    largest intersection over union with a true face; ``proposed`` (N,) is False for true faces that were shifted.
    """

    path: str
    boxes: np.ndarray
    crops: np.ndarray
    fit: np.ndarray
    proposed: np.ndarray


def mine_photograph(
    root: Path, path: str, faces: np.ndarray, settings: WorkerSettings, shifted: int = 4, seed: int = 0
) -> MinedPhotograph:
    """Cut out of a photograph what the detector proposes, and each true face (F, 4) ``shifted`` times.

    Raises ImageError if the photograph cannot be read.
    """
    photograph = read_photograph(root / path, settings.max_pixels, settings.decode_long_side)
    gray = photograph.gray
    seen = shrunken(gray, settings.detector.detect_size)
    shrink = seen.shape[1] / photograph.width
    proposals = shared_detector(settings.detector).detect(seen)[0] / shrink
    large = faces[faces[:, 2:].max(axis=1) * shrink >= 20]
    others = _shifted(np.repeat(large, shifted, axis=0), np.random.default_rng((seed, *path.encode())))
    boxes = np.concatenate([proposals, others])
    fit = iou(boxes, faces).max(axis=1, initial=0)
    across = gray.shape[1] / photograph.width
    crops = verifier_crops(cut_patches(gray, boxes * across))
    return MinedPhotograph(path, boxes, crops, fit, np.arange(len(boxes)) < len(proposals))


def mine_windows(root: Path, path: str, settings: WorkerSettings) -> tuple[np.ndarray, np.ndarray]:
    """What a glance at what the detector proposes sees, (N, 20, 20) uint8, and what the verifier does, (N, 48, 48).

    Raises ImageError if the photograph cannot be read.
    """
    gray = read_photograph(root / path, settings.max_pixels, settings.decode_long_side).gray
    seen = shrunken(gray, settings.detector.detect_size)
    boxes, _ = shared_detector(settings.detector).detect(seen)
    crops = verifier_crops(cut_patches(gray, boxes * gray.shape[1] / seen.shape[1]))
    return cells(seen, boxes), crops


def _shifted(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Squares about as large as ``boxes`` (N, 4) and not quite in their place, as a cascade's are."""
    draws = rng.random((len(boxes), 3))
    side = np.sqrt(boxes[:, 2] * boxes[:, 3]) * (0.85 + 0.45 * draws[:, 0])
    centre = boxes[:, :2] + boxes[:, 2:] / 2 + (draws[:, 1:] - 0.5) * 0.3 * side[:, None]
    return np.column_stack([centre - side[:, None] / 2, side, side])
