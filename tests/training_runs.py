"""Trainings on a few photographs whose faces are known, as a user starts them."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable
from contextlib import AbstractContextManager, chdir, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import keras
import numpy as np
import pytest
from conftest import astronaut, unmeasured
from keras import layers
from PIL import Image
from typer.testing import CliRunner

from jobs.training import detector, faces
from model import export
from model.detector import network as detector_network
from model.detector import training as detector_training
from model.emotions import training as emotions
from model.glance import training as glance
from model.layers import SHRINK, Shrink, normalised_conv
from model.verifier import training as verifier


def linear_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """A linear network of 36 inputs to train in place of the large one."""
    pixels = keras.Input((48, 48, 1))
    features = layers.Rescaling(1 / 64, -2)(layers.Flatten()(layers.AveragePooling2D(8)(pixels)))
    return keras.Model(pixels, {name: layers.Dense(labels, name=name)(features) for name in labellings})


def small_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """A network of a few numbers, on crops that may grow, with what a batch leaves behind."""
    pixels = keras.Input((48, 48, 1))
    x = normalised_conv(Shrink(name=SHRINK)(layers.Rescaling(1 / 64, -2)(pixels)), 4, kernel=8, strides=8)
    features = layers.GlobalAveragePooling2D()(x)
    return keras.Model(pixels, {name: layers.Dense(labels, name=name)(features) for name in labellings})


def known_photographs(root: Path, count: int = 5) -> Path:
    """Photographs of the astronaut at different places, and where the face is; of five, one is held out."""
    root.mkdir()
    rng, boxes = np.random.default_rng(0), {}
    for number in range(count):
        canvas = Image.fromarray(rng.integers(0, 255, (60, 80), np.uint8)).resize((800, 600))
        left, top = (int(value) for value in rng.integers(0, (288, 88)))
        canvas.paste(astronaut().convert("L"), (left, top))
        canvas.save(root / f"{number}.jpg")
        boxes[f"{number}.jpg"] = {"width": 800, "height": 600, "boxes_xywh": [[170 + left, 65 + top, 110, 110]]}
    (root / "boxes.json").write_text(json.dumps(boxes))
    return root / "boxes.json"


def small_detector(size: int | None = None) -> keras.Model:
    """A detector of a few layers for each raster, to train in place of the large one."""
    pixels = keras.Input((size, size, 1), name="pixels")
    maps = []
    for stride in detector_network.STRIDES:
        x = normalised_conv(layers.Rescaling(1 / 64, -2)(pixels), 2, kernel=stride, strides=stride)
        parts = [layers.Conv2D(1, 1, name=f"score_{stride}")(x), layers.Conv2D(4, 1, name=f"box_{stride}")(x)]
        maps.append(layers.Concatenate(name=f"stride_{stride}")(parts))
    return keras.Model(pixels, maps, name="detector")


def train_small_networks(patch: pytest.MonkeyPatch) -> None:
    """Have the trainings train networks of a few numbers, for tests of what is done with them."""
    patch.setattr(emotions, "training_network", small_network)
    patch.setattr(glance, "_EPOCHS", 3)
    for module in (faces, verifier):
        patch.setattr(module, "verifier_network", lambda: small_network(["face"], 2))
    for module in (detector_network, detector_training, detector):
        patch.setattr(module, "detector_network", small_detector)


def quickly() -> None:
    """Train small networks, step by step: nothing is compiled."""
    import tensorflow as tf

    train_small_networks(pytest.MonkeyPatch())
    tf.config.run_functions_eagerly(True)


def _exported_here(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What ``model.export`` starts a process for, in this one, which has Keras already."""
    with patch.object(sys, "argv", ["", *words[4:]]), redirect_stdout(StringIO()) as said:
        export._export()
    return subprocess.CompletedProcess(words, 0, said.getvalue(), "")


def exporting_here() -> AbstractContextManager[object]:
    """Write ONNX in this process; that a process of its own can is asserted in ``test_places.py``."""
    run = SimpleNamespace(run=_exported_here, TimeoutExpired=subprocess.TimeoutExpired)
    return patch.object(export, "subprocess", run)


def here(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of ``jobs`` to its end in this process, as starting Keras takes longer than the work."""
    program, log = import_module(f"jobs.{script}"), logging.getLogger("annotate")
    known = list(log.handlers), log.propagate, log.level
    signals = (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)
    heeded = {number: signal.getsignal(number) for number in signals}
    words = [f"annotate-{script}", *map(str, arguments)]
    with (
        patch.object(program, "silence_native_libraries", lambda: None),  # it gives away the stderr of the tests
        patch.object(sys, "argv", words),
        chdir(cwd or Path.cwd()),
        exporting_here(),
    ):
        try:
            done = CliRunner(env={"COLUMNS": "120", "NO_COLOR": "1"}).invoke(program.app, words[1:])
        finally:
            log.handlers[:], log.propagate = known[:2]
            log.setLevel(known[2])
            for number, handler in heeded.items():
                signal.signal(number, handler)
    trace = "".join(traceback.format_exception(done.exception)) if done.exit_code == 1 and done.exception else ""
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr + trace)


def kill_when(file: Path, *arguments: object, cwd: Path, first: str = "pass") -> None:
    """Start annotate-train, with some code before it, in a process of its own; kill it once the file is there."""
    start = f"{first}; from jobs.train import app; app(prog_name='annotate-train')"
    tests = Path(__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", start, *map(str, arguments)],
        cwd=cwd,
        env={**unmeasured(), "PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()


QUICKLY = "from training_runs import quickly; quickly()"
"""``quickly`` in such a process."""
