"""Verifier and emotion CNN on Keras, in the process that has the GPU. Imports Keras."""

import itertools
from collections.abc import Iterable, Iterator

import numpy as np

from batch.detection.faces import CLASSIFY, VERIFY
from batch.detection.networks import Network, without_label
from batch.outcome import Outcome, Result
from batch.settings import WorkerSettings
from jobs.annotation.batches import in_batches
from jobs.annotation.places import NetworkSettings
from jobs.annotation.run_report import RunReport
from model.bundle import ModelCard
from model.device import choose_device

VERIFIED_AT_A_TIME = 256
"""Batch size of the verifier. Fixed, so that not even rounding depends on --batch-size: of two windows on one face that
are almost equally probable, another might stay."""


def labelled_by_keras(
    results: Iterable[Result], worker: WorkerSettings, settings: NetworkSettings, report: RunReport
) -> Iterator[Outcome]:
    """Verify and label what the workers have proposed, in the same order.

    Keras is imported while the workers already work.
    """
    stream = iter(results)
    first = next(stream, None)
    if first is not None:
        networks = _networks(settings, report)
        yield from in_batches(itertools.chain([first], stream), worker, networks)


def _networks(settings: NetworkSettings, report: RunReport) -> dict[str, tuple[Network, int]]:
    """The networks on their device, with their batch sizes, timed as stages."""
    with report.stage("start"):
        report.device = choose_device(settings.device)
        emotions = _timed(settings.emotions, settings.batch_size, report, CLASSIFY)
        if settings.left_out is not None:
            emotions = without_label(emotions, settings.left_out)
        networks = {CLASSIFY: (emotions, settings.batch_size)}
        if settings.verifier:
            verifier = _timed(settings.verifier, VERIFIED_AT_A_TIME, report, VERIFY)
            networks[VERIFY] = verifier, VERIFIED_AT_A_TIME
    return networks


def _timed(card: ModelCard, batch_size: int, report: RunReport, stage: str) -> Network:
    from model.inference import Classifier

    classifier = Classifier(card, batch_size)

    def predict(crops: np.ndarray) -> np.ndarray:
        with report.stage(stage):
            return classifier.predict(crops)

    return predict
