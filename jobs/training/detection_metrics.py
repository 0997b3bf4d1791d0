"""How well a detector finds faces: which boxes count, which do not, precision and recall over all thresholds."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from batch.detection.boxes import iou

SMALLEST, LONG_SIDE = 40, 1024
"""Faces whose shorter side has fewer pixels are neither asked for nor held against a detector, in photographs with
this long side or a longer one; in smaller ones the limit shrinks with them."""
FITS = 0.35
"""Least intersection over union of a hit with a true face."""


@dataclass(frozen=True)
class Matches:
    """What became of a photograph's boxes and of its true faces.

    ``hit`` (N,) has 1 for a hit, 0 for a false positive, -1 for a box that does not count; ``asked`` (F,) tells which
    true faces count, ``score`` (F,) of the box that found each, -inf for a miss.
    """

    hit: np.ndarray
    asked: np.ndarray
    score: np.ndarray


def match(
    boxes: np.ndarray,
    scores: np.ndarray,
    faces: np.ndarray,
    long_side: float,
    least_fit: float = FITS,
    sizes: tuple[float, float] = (SMALLEST, np.inf),
) -> Matches:
    """Match boxes (N, 4) with the true faces (F, 4) of a photograph, best first; each face is found once.

    ``least_fit`` is the least intersection over union of a hit. Faces whose shorter side lies within ``sizes`` count.
    """
    smallest, largest = (side * min(1.0, long_side / LONG_SIDE) for side in sizes)
    sides = faces[:, 2:].min(axis=1)
    asked = (sides >= smallest) & (sides < largest)
    found = np.full(len(faces), -np.inf)
    hit = np.full(len(boxes), -1)
    fits = iou(boxes, faces)
    for index in np.argsort(-scores, kind="stable"):
        if max(boxes[index, 2:]) < 0.8 * smallest:
            continue
        best = int(fits[index].argmax()) if len(faces) else -1
        if best >= 0 and fits[index, best] >= least_fit and found[best] == -np.inf:
            found[best] = scores[index]
            hit[index] = 1 if asked[best] else -1
        elif max(boxes[index, 2:]) * 0.8 < largest:
            hit[index] = 0
    return Matches(hit, asked, found)


@dataclass(frozen=True)
class Curve:
    """Precision and recall (N,) at each threshold, highest threshold first."""

    threshold: np.ndarray
    recall: np.ndarray
    precision: np.ndarray

    def at_precision(self, least: float) -> tuple[float, float, float]:
        """Threshold, recall and precision where recall is largest and precision still ``least``; (1, 0, 1) if never."""
        good = np.flatnonzero(self.precision >= least)
        if not len(good):
            return 1.0, 0.0, 1.0
        best = good[-1]
        return float(self.threshold[best]), float(self.recall[best]), float(self.precision[best])

    @property
    def average_precision(self) -> float:
        """The area under precision over recall, each precision being the best at that recall or a larger one."""
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(self.recall, prepend=0) * best).sum())

    def at_threshold(self, threshold: float) -> tuple[float, float]:
        """Recall and precision of the boxes with a score of at least ``threshold``."""
        above = np.flatnonzero(self.threshold >= threshold)
        return (float(self.recall[above[-1]]), float(self.precision[above[-1]])) if len(above) else (0.0, 1.0)


def curve(matched: Iterable[tuple[np.ndarray, Matches]]) -> Curve:
    """The curve over photographs, each given as its boxes' scores (N,) and their matches."""
    pairs = list(matched)
    scores = np.concatenate([np.zeros(0), *(scores for scores, _ in pairs)])
    hits = np.concatenate([np.zeros(0, int), *(matches.hit for _, matches in pairs)])
    asked = sum(int(matches.asked.sum()) for _, matches in pairs)
    counted = hits >= 0
    order = np.argsort(-scores[counted], kind="stable")
    threshold, hit = scores[counted][order], hits[counted][order]
    true = np.cumsum(hit == 1)
    last = np.append(threshold[1:] != threshold[:-1], True)[: len(threshold)]
    precision = true / np.maximum(1, np.arange(1, len(hit) + 1))
    return Curve(threshold[last], (true / max(1, asked))[last], precision[last])
