"""Kills at random instants."""

import random
import subprocess
import time
from pathlib import Path

from conftest import annotate_command, annotate_here, assert_same_tables, astronaut, environment, noise

KILLS = 20


def test_killed_runs_cost_nothing(tmp_path: Path) -> None:
    """After twenty runs killed at random instants, one to the end gives the tables of an uninterrupted run."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(300):
        image = noise(number, 200) if number % 3 else astronaut().rotate(number / 10)
        image.save(root / f"{number:03d}.jpg")
    annotate_here(root, tmp_path / "uninterrupted", jobs=2)
    instants = random.Random(7)  # noqa: S311 - a seed, not a secret
    output = tmp_path / "killed"
    for kill in range(KILLS):
        command = annotate_command(root, "-o", output, "--jobs", 1 + kill % 2, *(["--rescan"] if kill % 7 == 6 else []))
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment())
        time.sleep(instants.uniform(0.2, 9))
        process.kill()
        process.wait()
    finished = subprocess.run(annotate_command(root, "-o", output), check=False, env=environment())
    assert finished.returncode == 0
    assert_same_tables(tmp_path / "uninterrupted", output)
    assert not (output / "checkpoints").exists()
