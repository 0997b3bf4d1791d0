"""The pictures that the training of the verifier leaves: what it finds, what it takes for a face, what it misses."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batch.detection.crop import cut_patches, verifier_crops
from batch.images.decode import read_photograph
from batch.names import number_of
from jobs.training.detection_metrics import Matches, curve
from model.evaluation.face_pictures import draw_curve, draw_recall_by_size, draw_sheet

_PRECISION, _SHEET = 0.95, 64


@dataclass(frozen=True)
class ValidatedPhotograph:
    """A photograph held out: its true faces (F, 4), and the crops and scores (N,) of the boxes left after merging.

    ``best`` (N,) tells which proposal was the best of each.
    """

    path: str
    faces: np.ndarray
    crops: np.ndarray
    scores: np.ndarray
    matches: Matches
    best: np.ndarray


def in_words(figures: dict[str, Any]) -> str:
    """The figures of the photographs held out, as a sentence."""
    return (
        f"on {number_of(figures['photographs'], 'photograph')} held out it finds {figures['recall']:.2f} of "
        f"{number_of(figures['faces'], 'face')} with a precision of {figures['precision']:.2f} "
        f"(threshold {figures['threshold']:.2f})"
    )


def draw_figures(root: Path, photographs: list[ValidatedPhotograph], folder: Path) -> None:
    """Draw the precision-recall curve, recall by size, false positives and misses into ``folder``."""
    of_all = curve((photograph.scores, photograph.matches) for photograph in photographs)
    threshold, recall, precision = of_all.at_precision(_PRECISION)
    folder.mkdir(parents=True, exist_ok=True)
    draw_curve(of_all.recall, of_all.precision, (recall, precision, threshold), folder / "precision-recall.png")
    sides = np.concatenate([photograph.faces[:, 2:].min(axis=1) for photograph in photographs])
    found = np.concatenate([photograph.matches.score >= threshold for photograph in photographs])
    draw_recall_by_size(sides, found, folder / "recall-by-size.png")
    draw_sheet(*_false_positives(photographs, threshold), "Taken for faces", folder / "false-positives.png")
    draw_sheet(*_misses(root, photographs, threshold), "Missed faces", folder / "misses.png")


def _false_positives(photographs: list[ValidatedPhotograph], threshold: float) -> tuple[list[np.ndarray], list[str]]:
    """The false positives with the highest scores."""
    wrong = [
        (float(photograph.scores[index]), photograph.crops[index])
        for photograph in photographs
        for index in np.flatnonzero((photograph.matches.hit == 0) & (photograph.scores >= threshold))
    ]
    wrong.sort(key=lambda pair: -pair[0])
    return [crop for _, crop in wrong[:_SHEET]], [f"{score:.2f}" for score, _ in wrong[:_SHEET]]


def _misses(root: Path, photographs: list[ValidatedPhotograph], threshold: float) -> tuple[list[np.ndarray], list[str]]:
    """The largest faces missed, with the score of the box that was on them, if there was one."""
    missed = [
        (photograph.path, photograph.faces[index], photograph.matches.score[index])
        for photograph in photographs
        for index in np.flatnonzero(photograph.matches.asked & (photograph.matches.score < threshold))
    ]
    missed.sort(key=lambda miss: -float(miss[1][2:].min()))
    crops, titles = [], []
    for path, face, score in missed[:_SHEET]:
        photograph = read_photograph(root / path, 10**9, 10**5)
        crops.append(verifier_crops(cut_patches(photograph.gray, face[None]))[0])
        titles.append(f"{score:.2f}" if score > 1e-6 else "not proposed")
    return crops, titles
