"""Kills at random instants, while others read."""

import os
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import OFTEN, annotate_command, annotate_here, assert_same_tables, astronaut, noise, unmeasured

LANES = {"tables": (), "csv": ("--csv",)}
KILLS = int(os.environ.get("ANNOTATE_KILLS", "20")) // len(LANES)
"""Of runs in each lane; ``make nightly`` asks for a hundred in all."""
PHOTOGRAPHS = 120


class Reader(threading.Thread):
    """Reads the tables all the while, as a program would that knows nothing of the runs."""

    def __init__(self, output: Path) -> None:
        super().__init__()
        self.output, self.stopped = output, threading.Event()
        self.read, self.torn, self.generations = 0, [], set()

    def run(self) -> None:
        """Read until told to stop; note what could not be read after it was there once."""
        there: set[str] = set()
        while not self.stopped.wait(0.05):
            for name in ("images.parquet", "faces.parquet", "images.csv", "faces.csv"):
                try:
                    self._read(self.output / name)
                except FileNotFoundError:
                    if name in there:
                        self.torn.append(f"{name} was missing")
                except Exception as error:
                    self.torn.append(f"{name}: {error!r}")
                else:
                    there.add(name)
                    self.read += 1

    def _read(self, file: Path) -> None:
        if file.suffix == ".csv":
            pd.read_csv(file)
        else:
            with file.open("rb") as opened:  # once: given a path, pyarrow opens it twice
                metadata = pq.read_table(opened).schema.metadata
            self.generations.add(int(metadata[b"generation"]))


def killed_runs(root: Path, output: Path, options: tuple[str, ...], seed: int) -> Reader:
    """Start runs and kill each at a random instant; then one to the end. Gives the reader that read meanwhile."""
    instants = random.Random(seed)  # noqa: S311 - a seed, not a secret
    reader = Reader(output)
    reader.start()
    try:
        for kill in range(KILLS):
            some = ["--limit", instants.randrange(1, 40)] if kill % 2 else []  # so that runs also die as they publish
            anew = ["--rescan"] if kill % 7 == 6 else []
            if kill % 5 == 0:  # now and then one comes to its end, so that there is something to read
                few = annotate_command(root, "-o", output, "-q", "--limit", 3, *options)
                subprocess.run(few, check=True, env=unmeasured())
            command = annotate_command(root, "-o", output, "-q", "--jobs", 1 + kill % 3 % 2, *options, *some, *anew)
            command[2] = OFTEN + command[2]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=unmeasured())
            time.sleep(instants.uniform(0.2, 4.5))
            process.kill()
            process.wait()
        finished = subprocess.run(annotate_command(root, "-o", output, *options), check=False, env=unmeasured())
        assert finished.returncode == 0
    finally:
        reader.stopped.set()
        reader.join()
    return reader


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Small photographs, every third with a face."""
    root = tmp_path / "photos"
    root.mkdir()
    face = astronaut().crop((100, 0, 356, 256))
    for number in range(PHOTOGRAPHS):
        image = noise(number, 160) if number % 3 else face.rotate(number / 10)
        image.save(root / f"{number:03d}.jpg")
    return root


def test_killed_runs_cost_nothing(root: Path, tmp_path: Path) -> None:
    """After many runs killed at random instants, one to the end gives the tables of an uninterrupted run.

    Nobody who reads meanwhile ever meets half a file or none.
    """
    annotate_here(root, tmp_path / "uninterrupted", jobs=2, csv=True)
    with ThreadPoolExecutor() as threads:
        lanes = {
            lane: threads.submit(killed_runs, root, tmp_path / lane, options, seed)
            for seed, (lane, options) in enumerate(LANES.items())
        }
    for lane, running in lanes.items():
        reader = running.result()
        assert reader.torn == []
        assert reader.read > 2 * KILLS
        assert len(reader.generations) > KILLS / 10
        assert_same_tables(tmp_path / "uninterrupted", tmp_path / lane)
        assert not (tmp_path / lane / "checkpoints").exists()
    for name in ("images", "faces"):
        csvs = [pd.read_csv(tmp_path / output / f"{name}.csv") for output in ("uninterrupted", "csv")]
        one, other = (csv.drop(columns="annotated_at", errors="ignore") for csv in csvs)
        pd.testing.assert_frame_equal(one, other, atol=1e-5, rtol=0)
