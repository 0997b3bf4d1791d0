"""A real Dask cluster on this machine: a scheduler and its workers, which are killed as they work."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import (
    Run,
    annotate_command,
    annotate_here,
    assert_same_rows,
    assert_same_tables,
    astronaut,
    environment,
    noise,
)
from distributed import Client

from model.bundle import DETECTOR_MODEL, GLANCE_MODEL

PROGRAM = Path(sys.executable).with_name("dask")
CRASHING = """
import batch.workers.worker as worker, os
from pathlib import Path

known = worker.read_photograph

def crashing(file, *arguments):
    if "poison" in Path(file).name:
        os.abort()
    return known(file, *arguments)

worker.read_photograph = crashing
"""
"""Stands in for a native decoder that aborts, in whatever process reads the image."""


class Cluster:
    """A scheduler, and workers as a user starts them."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._processes = folder, []
        self._file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        self.client = Client(scheduler_file=str(self._file), set_as_default=False)
        self.address = self.client.scheduler_info()["address"]

    def add(self, workers: int, *options: str, **variables: str) -> None:
        """Start workers and wait for them."""
        known = len(self.client.ncores())
        self._start("worker", "--nworkers", str(workers), "--no-dashboard", *options, **variables)
        self.client.wait_for_workers(known + workers, timeout=60)

    def close(self) -> None:
        """End everything."""
        self.client.close()
        for process in reversed(self._processes):
            process.terminate()
            process.wait(60)

    def _start(self, kind: str, *options: str, **variables: str) -> None:
        command = [PROGRAM, kind, "--scheduler-file", self._file, *options]
        own = {**environment(), "PYTHONPATH": str(Path(__file__).parents[1]), **variables}
        with (self._folder / f"{kind}.log").open("w") as log:
            self._processes.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, cwd=self._folder))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler without workers."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    started = Cluster(folder)
    yield started
    started.close()


def many_photos(root: Path, count: int) -> Path:
    """A folder of photographs, every third with a face, and a damaged one."""
    root.mkdir()
    for number in range(count):
        image = noise(number, 200) if number % 3 else astronaut().rotate(number / 10)
        image.save(root / f"{number:03d}.jpg")
    (root / "damaged.jpg").write_bytes(b"no image")
    return root


def test_same_tables_although_a_worker_is_killed(cluster: Cluster, tmp_path: Path) -> None:
    """A worker killed while the two are at work costs nothing: its images are done again."""
    root = many_photos(tmp_path / "photos", 240)
    annotate_here(root, tmp_path / "local", jobs=2)
    cluster.add(2, "--nthreads", "1")
    pids = set(cluster.client.run(os.getpid).values())
    command = annotate_command(root, "-o", tmp_path / "remote", "--cluster", cluster.address)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), text=True)
    while not any(cluster.client.processing().values()):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    os.kill(min(pids), signal.SIGKILL)
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    cluster.client.wait_for_workers(2, timeout=60)
    assert set(cluster.client.run(os.getpid).values()) != pids  # it was killed, and its nanny has started another
    assert_same_tables(tmp_path / "local", tmp_path / "remote")


def test_an_image_that_kills_workers_costs_itself(cluster: Cluster, command: Run, tmp_path: Path) -> None:
    """Dask gives its chunk up after some workers; the other images of it are done."""
    root = many_photos(tmp_path / "photos", 20)
    astronaut().save(root / "011-poison.jpg")
    (tmp_path / "decoder").mkdir()
    (tmp_path / "decoder" / "sitecustomize.py").write_text(CRASHING)
    path = os.pathsep.join([str(tmp_path / "decoder"), str(Path(__file__).parents[1])])
    cluster.add(2, "--nthreads", "1", PYTHONPATH=path)
    done = command(root, "-o", tmp_path / "out", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    images = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert images.pop("011-poison.jpg") == "crashed"
    assert images.pop("damaged.jpg") == "unreadable"
    assert len(images) == 20
    assert set(images) == {"ok", "no_face"}


def test_an_archive(cluster: Cluster, photos: Path, command: Run, tmp_path: Path) -> None:
    """Workers open the archive that they see, and one that they do not see ends the run before it begins."""
    shutil.make_archive(str(photos), "zip", photos)
    annotate_here(photos, tmp_path / "local")
    cluster.add(1, "--nthreads", "1")
    done = command(photos.with_suffix(".zip"), "-o", tmp_path / "remote", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    assert_same_rows(tmp_path / "local", tmp_path / "remote")
    unseen = ["/proc/self/cwd/photos.zip", "-o", tmp_path / "other", "--cluster", cluster.address]
    done = subprocess.run(
        annotate_command(*unseen), capture_output=True, text=True, check=False, cwd=tmp_path, env=environment()
    )
    assert (done.returncode, "cannot do the work: No such root" in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (("--nthreads", "2"), "--nthreads 1"),
        (("--nthreads", "1", "--no-nanny"), "--no-nanny"),
        (("--nthreads", "1"), "does not see the photographs in /proc/self/cwd/photos"),
    ],
)
def test_workers_that_cannot_do_the_work(
    cluster: Cluster, photos: Path, tmp_path: Path, options: tuple[str, ...], wrong: str
) -> None:
    """The run ends before it begins, with the reason."""
    cluster.add(1, *options)
    own = Path("/proc/self/cwd") / photos.name  # another folder in each process
    command = annotate_command(own if "see" in wrong else photos, "-o", tmp_path / "out", "--cluster", cluster.address)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment())
    assert done.returncode == 5, done.stderr
    assert wrong in done.stderr
    assert not (tmp_path / "out" / "images.parquet").exists()


def test_workers_with_another_detector(cluster: Cluster, photos: Path, tmp_path: Path) -> None:
    """Neither a detector's file that a worker lacks nor another one in its place spoils the run."""
    cluster.add(1, "--nthreads", "1")
    shutil.copy(DETECTOR_MODEL, tmp_path / "own.onnx")
    own = Path("/proc/self/cwd/own.onnx")  # another file in each process
    command = annotate_command(photos, "-o", tmp_path / "out", "--cluster", cluster.address)
    command += ["--detector", "cnn", "--detector-model", str(own)]
    for there, wrong in ((None, f"No detector model at {own}"), (GLANCE_MODEL, f"its {own} is another file")):
        if there:
            shutil.copy(there, tmp_path / "cluster" / "own.onnx")
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment())
        assert (done.returncode, wrong in done.stderr) == (5, True), done.stderr


def test_no_cluster(command: Run, photos: Path, tmp_path: Path, cluster: Cluster) -> None:
    """Neither where nothing listens nor where nobody works."""
    nowhere = command(photos, "-o", tmp_path / "out", "--cluster", "tcp://127.0.0.1:9")
    assert (nowhere.returncode, "No Dask scheduler answers" in nowhere.stderr) == (5, True), nowhere.stderr
    empty = command(photos, "-o", tmp_path / "out", "--cluster", cluster.address)
    assert (empty.returncode, "has no workers" in empty.stderr) == (5, True), empty.stderr
