"""Training the verifier, end to end on a few drawn photographs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from conftest import astronaut
from PIL import Image

from model.bundle import load_network, read_card


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


def train(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    start = "from jobs.train import app; app(prog_name='annotate-train')"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", start, "faces", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_training_leaves_a_model_and_its_pictures(tmp_path: Path) -> None:
    """A model that loads, its figures and command, and four pictures; a resumed training proposes nothing anew."""
    boxes = known_photographs(tmp_path / "photos")
    arguments = ("photos", "--boxes", boxes, "--epochs", 1, "--batch-size", 32)
    done = train(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = read_card(tmp_path / "faces.keras")
    assert load_network(card).output_shape == (None, 2)
    facts = json.loads((tmp_path / "faces.json").read_text())
    assert facts["validation"]["faces"] == facts["validation"]["photographs"] == 2
    assert facts["command"].startswith("annotate-train faces photos")
    pictures = {file.stem for file in (tmp_path / "faces").glob("*.png")}
    assert pictures == {"precision-recall", "recall-by-size", "false-positives", "misses"}
    again = train(*arguments, "--resume", cwd=tmp_path)
    assert again.returncode == 0
    assert "proposing" in done.stderr and "proposing" not in again.stderr


def test_missing_photographs(tmp_path: Path) -> None:
    """Photographs that are not there end with exit 5 and the path."""
    boxes = known_photographs(tmp_path / "photos")
    done = train(tmp_path, "--boxes", boxes, cwd=tmp_path)
    assert done.returncode == 5
    assert ".jpg" in done.stderr and "Traceback" not in done.stderr
