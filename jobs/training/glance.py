"""Training the glance that spares the verifier most of a cascade's windows: photographs in, an ONNX file out."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from batch.detection.glance import standardised
from jobs.training.face_sets import windows
from model.detector.export import export_maps
from model.glance.training import glance_logits, lower_by, train_glance
from model.progress import doing

log = logging.getLogger("annotate.train")

KEPT = 0.995
"""Share of the windows that the verifier takes for faces, in photographs held out, that pass the glance.

A face has some five such windows."""


@dataclass(frozen=True)
class Windows:
    """What the cascade proposes: patches (N, 20, 20) uint8, and the verifier's probability of a face (N,)."""

    patches: np.ndarray
    faceness: np.ndarray


def train_and_export(
    root: Path, training: list[str], held_out: list[str], verifier: keras.Model, file: Path, jobs: int, seed: int
) -> dict[str, float]:
    """Train on the windows of the ``training`` photographs, set the threshold on those held out, write ``file``.

    Gives the figures on those held out. Raises DataError if a photograph cannot be read.
    """
    log.info("looking at the cascade's windows with the verifier, for the glance to learn from")
    learnt, seen = (_windows(root, paths, verifier, jobs) for paths in (training, held_out))
    with doing("training the glance on what the verifier says of them"):
        network = train_glance(standardised(learnt.patches), learnt.faceness, seed)
    logits = glance_logits(network, standardised(seen.patches))
    faces = seen.faceness >= 0.5
    threshold = float(np.quantile(logits[faces], 1 - KEPT) if faces.any() else logits.min())
    lower_by(network, threshold)
    export_maps(network, file)
    passing = logits > threshold
    return {
        "windows_trained_on": len(learnt.patches),
        "windows": len(seen.patches),
        "share_that_passes": float(passing.mean()),
        "share_of_faces_that_passes": float(passing[faces].mean()) if faces.any() else 1.0,
    }


def _windows(root: Path, paths: list[str], verifier: keras.Model, jobs: int) -> Windows:
    patches, faceness = [], []
    for of_this, crops in windows(root, paths, jobs):
        patches.append(of_this)
        pixels = crops[..., None].astype("float32")
        looks = [
            np.asarray(verifier.predict_on_batch(view))[:, 1] for view in (pixels, pixels[:, :, ::-1]) if len(view)
        ]
        faceness.append(np.mean(looks, axis=0) if looks else np.zeros(0, "float32"))
    return Windows(np.concatenate(patches), np.concatenate(faceness))
