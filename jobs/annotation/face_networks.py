"""The networks of a run, on their device: proposals in, faces with their emotions out. Imports Keras."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from batch.outcome import Outcome
from batch.settings import DetectorSettings
from jobs.annotation.face_batches import VERIFIED_AT_A_TIME, Predict, label_faces, verify_faces
from jobs.annotation.run_report import RunReport
from model.bundle import ModelCard
from model.device import choose_device
from model.inference import Classifier, without_label
from model.labels import NEUTRAL


@dataclass(frozen=True)
class NetworkSettings:
    """Which networks, where, and how they are asked; ``verifier`` is None where faces need no verification."""

    emotions: ModelCard
    verifier: ModelCard | None
    batch_size: int
    detector: DetectorSettings
    device: str = "auto"
    without_neutral: bool = False


def annotated_faces(outcomes: Iterable[Outcome], settings: NetworkSettings, report: RunReport) -> Iterator[Outcome]:
    """Verify the faces of each outcome, where that is to be done, and tell their emotions, in the same order."""
    with report.stage("start"):
        report.device = choose_device(settings.device)
        leave_out = NEUTRAL if settings.without_neutral else None
        emotions = _predict(settings.emotions, settings.batch_size, report, "classify", leave_out)
        verifier = _predict(settings.verifier, VERIFIED_AT_A_TIME, report, "verify") if settings.verifier else None
    if verifier is not None:
        outcomes = verify_faces(outcomes, verifier, VERIFIED_AT_A_TIME, settings.detector)
    yield from label_faces(outcomes, emotions, settings.batch_size)


def _predict(card: ModelCard, batch_size: int, report: RunReport, stage: str, leave_out: str | None = None) -> Predict:
    """What the network of ``card`` says of crops, without the label ``leave_out``, timed as ``stage``."""
    classifier = Classifier(card, batch_size)

    def predict(crops: np.ndarray) -> np.ndarray:
        with report.stage(stage):
            probabilities = classifier.predict(crops)
        if leave_out is None or leave_out not in card.labels:
            return probabilities
        return without_label(probabilities, card.labels, leave_out)

    return predict
