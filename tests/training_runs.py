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
from contextlib import chdir, redirect_stdout
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import keras
import numpy as np
from conftest import astronaut
from keras import layers
from PIL import Image
from typer.testing import CliRunner

from model import export


def linear_network(labellings: Iterable[str], labels: int) -> keras.Model:
    """A linear network of 36 inputs to train in place of the large one."""
    pixels = keras.Input((48, 48, 1))
    features = layers.Rescaling(1 / 64, -2)(layers.Flatten()(layers.AveragePooling2D(8)(pixels)))
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


def started(*arguments: object, cwd: Path) -> dict[str, Any]:
    """What to start annotate-train with, in a process of its own."""
    start = "from jobs.train import app; app(prog_name='annotate-train')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return {"args": [sys.executable, "-c", start, *map(str, arguments)], "cwd": cwd, "env": environment}


def train(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run annotate-train to its end in a process of its own."""
    return subprocess.run(**started(*arguments, cwd=cwd), capture_output=True, text=True, timeout=300, check=False)


def _exported_here(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    """What ``model.export`` starts a process for, in this one, which has Keras already."""
    with patch.object(sys, "argv", ["", *words[3:]]), redirect_stdout(StringIO()) as said:
        export._export()
    return subprocess.CompletedProcess(words, 0, said.getvalue(), "")


exporting_here = patch.object(
    export, "subprocess", SimpleNamespace(run=_exported_here, TimeoutExpired=subprocess.TimeoutExpired)
)
"""Write ONNX in this process; that a process of its own can is asserted in ``test_places.py``."""


def here(script: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of ``jobs`` to its end in this process, as starting Keras takes longer than the work."""
    program, log = import_module(f"jobs.{script}"), logging.getLogger("annotate")
    known = list(log.handlers), log.propagate, log.level
    heeded = {number: signal.getsignal(number) for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM)}
    words = [f"annotate-{script}", *map(str, arguments)]
    with (
        patch.object(program, "silence_native_libraries", lambda: None),  # it gives away the stderr of the tests
        patch.object(sys, "argv", words),
        chdir(cwd or Path.cwd()),
        exporting_here,
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


def kill_when(file: Path, *arguments: object, cwd: Path) -> None:
    """Start annotate-train and kill it as soon as the file is there."""
    process = subprocess.Popen(**started(*arguments, cwd=cwd), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
