"""Trainings on a few photographs whose faces are known, as a user starts them."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from conftest import astronaut
from PIL import Image


def known_photographs(root: Path) -> Path:
    """Twelve photographs of the astronaut at different places, and where the face is."""
    root.mkdir()
    rng, boxes = np.random.default_rng(0), {}
    for number in range(12):
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
    """Run annotate-train to its end."""
    return subprocess.run(**started(*arguments, cwd=cwd), capture_output=True, text=True, timeout=300, check=False)


def kill_when(file: Path, *arguments: object, cwd: Path) -> None:
    """Start annotate-train and kill it as soon as the file is there."""
    process = subprocess.Popen(**started(*arguments, cwd=cwd), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
