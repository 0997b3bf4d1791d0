"""Where the faces are verified and labelled: in the workers, or by Keras in one process that has a GPU."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batch.errors import DetectorError
from batch.settings import DetectorSettings, NetworkFiles
from model.bundle import SHIPPED, ModelCard
from model.device import choose_device, gpu_in_sight
from model.errors import ModelError
from model.onnx_graph import check_onnx

log = logging.getLogger("annotate.job")


@dataclass(frozen=True)
class NetworkSettings:
    """Which networks, where, and how they are asked; ``verifier`` is None where faces need no verification."""

    emotions: ModelCard
    verifier: ModelCard | None
    batch_size: int
    device: str
    without: str | None
    """The label that is left out."""
    cache: Path
    """Folder for what has to be written to run a network."""
    detector: DetectorSettings = DetectorSettings()

    @property
    def left_out(self) -> int | None:
        """Number of the label that is left out, if the network has it."""
        return self.emotions.labels.index(self.without) if self.without in self.emotions.labels else None


def worker_networks(settings: NetworkSettings) -> NetworkFiles | None:
    """What the workers are to verify and label with; None if one process is to do it with Keras.

    Raises ModelError or DetectorError for a file that is none to be run, DeviceError if a GPU is demanded and there is
    none.
    """
    _check_detector(settings.detector)
    looked_for = settings.device == "gpu" or (settings.device == "auto" and gpu_in_sight())
    if looked_for and choose_device(settings.device) != "cpu":
        return None
    emotions = _as_onnx(settings.emotions, settings.cache)
    verifier = _as_onnx(settings.verifier, settings.cache) if settings.verifier else None
    if emotions is None or (settings.verifier and verifier is None):
        return None
    return NetworkFiles(emotions, verifier, settings.left_out)


def _check_detector(detector: DetectorSettings) -> None:
    """Raise DetectorError, with where such files come from, if the detector's is none to be run."""
    if detector.spec.origin and detector.model_file().parent != SHIPPED:
        try:
            check_onnx(detector.model_file())
        except ModelError as error:
            raise DetectorError(f"{error} {detector.spec.origin}") from error


def _as_onnx(card: ModelCard, cache: Path) -> Path | None:
    """The network of ``card`` for the workers; None, with a line why, if it has to be Keras'."""
    if card.onnx is not None:
        if card.path.parent != SHIPPED:
            check_onnx(card.onnx, len(card.labels))
        return card.onnx
    from model.export import can_export, export_onnx

    slower = f"{card.path} runs on Keras, in one process, which is slower"
    file = cache / f".{card.sha256[:16]}.onnx"
    if file.is_file():
        return file
    if not can_export():
        log.warning("%s: there is no .onnx beside it, and to write one takes the extra [train]", slower)
        return None
    log.info("writing %s as ONNX for the workers, into %s", card.path, file)
    try:
        noise = np.random.default_rng(0).integers(0, 256, (64, 48, 48)).astype(np.uint8)
        export_onnx(card.path, card.labels, file, noise)
    except ModelError as error:
        log.warning("%s: %s", slower, error)
        return None
    return file
