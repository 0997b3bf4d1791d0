"""Images in, outcomes out: by processes of this machine or a cluster's, and by Keras where there is a GPU."""

import itertools
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from types import ModuleType
from typing import cast

from batch.errors import ClusterError
from batch.outcome import ImageFile, Outcome, Result
from batch.settings import WorkerSettings
from batch.workers.pool import annotate_images, believed
from jobs.annotation.places import NetworkSettings, worker_networks
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings
from model.bundle import ModelCard
from model.extras import without_matplotlib
from model.labels import NEUTRAL


class Workers:
    """Whoever works for a run; networks and a cluster are looked for once there is an image."""

    def __init__(
        self, settings: AnnotationSettings, emotions: ModelCard, verifier: ModelCard | None, report: RunReport
    ) -> None:
        self._settings, self._report = settings, report
        without = NEUTRAL if settings.without_neutral else None
        self._networks = NetworkSettings(
            *(emotions, verifier, settings.batch_size, settings.device, without, settings.output),
            settings.worker.detector,
        )

    def results(self, images: Iterable[ImageFile]) -> Generator[Result, None, None]:
        """What the workers make of the images, in order."""
        stream = iter(images)
        first = next(stream, None)
        if first is None:
            return
        with closing(believed(self._worked_on(itertools.chain([first], stream)))) as results:
            yield from results

    def labelled(self, results: Iterator[Result]) -> Iterator[Outcome]:
        """The outcomes that the results are, or become by Keras, which is imported while the workers work."""
        first = next(results, None)
        if first is None:
            return
        results = itertools.chain([first], results)
        if self._worker.networks is None:
            with without_matplotlib():
                from jobs.annotation.gpu import labelled_by_keras

            results = labelled_by_keras(results, self._worker, self._networks, self._report)
        yield from cast(Iterator[Outcome], results)

    @cached_property
    def _worker(self) -> WorkerSettings:
        """What the workers are told, networks included."""
        self._report.device = "cpu"
        with self._report.stage("start"):
            networks = worker_networks(self._networks)
        return replace(self._settings.worker, networks=networks)

    def _worked_on(self, images: Iterable[ImageFile]) -> Generator[Result, None, None]:
        settings = self._settings
        if settings.cluster is None:
            yield from annotate_images(images, self._worker, settings.processes)
            return
        where = settings.cluster, settings.cluster_timeout
        yield from _cluster_module().annotate_on_cluster(images, self._worker, settings.roots, *where)


def _cluster_module() -> ModuleType:
    """Import Dask, which few need; raises ClusterError if it is missing."""
    try:
        from batch.workers import cluster
    except ModuleNotFoundError as error:
        raise ClusterError(f"{error}. Install the extra: pip install 'emotion-annotate[cluster]'") from error
    return cluster
