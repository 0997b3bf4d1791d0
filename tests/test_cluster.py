"""A real Dask cluster on this machine: a scheduler and its workers, which are killed as they work."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
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
    unmeasured,
)
from distributed import Client

import batch
from batch.errors import ClusterError
from model.bundle import DETECTOR_MODEL, GLANCE_MODEL

PROGRAM = Path(sys.executable).with_name("dask")
AILING = """
import batch.workers.worker as worker, os, signal, time
from pathlib import Path

known = worker.read_photograph

def ailing(file, *arguments):
    with open(Path(file).parents[1] / "asked", "a+") as asked:
        asked.seek(0)
        asked_for = asked.read().split()
        print(Path(file).name, file=asked)
    if "poison" in Path(file).name:
        os.abort()
    if "deadly" in Path(file).name and asked_for.count(Path(file).name) == 0:
        os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(100 if "slow" in Path(file).name else 0.1)
    return known(file, *arguments)

worker.read_photograph = ailing
"""
"""Stands in for a native decoder that is slow, aborts or never returns, in whatever process reads the image."""


class Cluster:
    """A scheduler, and workers as a user starts them."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self._folder, self._processes = folder, []
        self._file = folder / "scheduler.json"
        self._start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", **variables)
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
        own = {**unmeasured(), "PYTHONPATH": str(Path(__file__).parents[1]), **variables}
        with (self._folder / f"{kind}.log").open("w") as log:
            self._processes.append(subprocess.Popen(command, env=own, stdout=log, stderr=log, cwd=self._folder))

    def kill(self, kind: str, deadly: signal.Signals = signal.SIGKILL) -> None:
        """Kill the scheduler, or the last workers that were started, with their nanny."""
        process = self._processes[0 if kind == "scheduler" else -1]
        process.send_signal(deadly)
        process.wait(60)


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


def ailing(folder: Path) -> str:
    """The PYTHONPATH of workers that read images with an ailing decoder, which writes down what it was asked for."""
    (folder / "decoder").mkdir()
    (folder / "decoder" / "sitecustomize.py").write_text(AILING)
    return os.pathsep.join([str(folder / "decoder"), str(Path(__file__).parents[1])])


def wait_until_asked(folder: Path, count: int, process: "subprocess.Popen[str]") -> None:
    """Wait until workers have been asked for that many images."""
    asked = folder / "asked"
    while not asked.exists() or len(asked.read_text().splitlines()) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)


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


def test_an_image_that_kills_workers_or_hangs_costs_itself(cluster: Cluster, command: Run, tmp_path: Path) -> None:
    """Its row says so, and a hang is waited for once; the other images of its chunk are done."""
    root = many_photos(tmp_path / "photos", 20)
    for name in ("003-slow.jpg", "011-poison.jpg", "012-slow.jpg"):
        astronaut().save(root / name)
    cluster.add(2, "--nthreads", "1", PYTHONPATH=ailing(tmp_path))
    done = command(root, "-o", tmp_path / "out", "--cluster", cluster.address, "--image-timeout", "4")
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")
    images = table["status"]
    assert "--image-timeout 4" in table["error"]["003-slow.jpg"]
    assert [images.pop(name) for name in ("003-slow.jpg", "011-poison.jpg", "012-slow.jpg")] == ["crashed"] * 3
    assert images.pop("damaged.jpg") == "unreadable"
    assert len(images) == 20
    assert set(images) == {"ok", "no_face"}
    asked = (tmp_path / "asked").read_text().split()
    assert [asked.count("003-slow.jpg"), asked.count("012-slow.jpg")] == [1, 1]


@pytest.mark.parametrize(
    ("kind", "deadly", "said"),
    [
        ("scheduler", signal.SIGKILL, "is lost; probably it has ended. What is done is kept."),
        ("scheduler", signal.SIGTERM, "is lost; probably it has ended. What is done is kept."),
        ("worker", signal.SIGKILL, "it has no workers. Start some: "),
    ],
    ids=["scheduler killed", "scheduler terminated", "workers killed"],
)
def test_a_cluster_that_is_lost(cluster: Cluster, tmp_path: Path, kind: str, deadly: signal.Signals, said: str) -> None:
    """The run ends soon with one message and keeps what is done; the next run goes on from there."""
    root = many_photos(tmp_path / "photos", 30)
    cluster.add(2, "--nthreads", "1", PYTHONPATH=ailing(tmp_path))
    options = ["-o", tmp_path / "out", "--cluster", cluster.address, "--cluster-timeout", "4", "--quiet"]
    process = subprocess.Popen(annotate_command(root, *options), stderr=subprocess.PIPE, env=environment(), text=True)
    wait_until_asked(tmp_path, 17, process)
    cluster.kill(kind, deadly)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 5, stderr
    assert stderr.splitlines()[-1].startswith("error: The c")
    assert said in stderr.splitlines()[-1]
    assert len(stderr.splitlines()) == (1 if kind == "scheduler" else 2)  # after a moment it is told that it waits
    assert "Traceback" not in stderr
    assert r"\n" not in stderr
    done = sum(len(pd.read_parquet(file)) for file in (tmp_path / "out" / "checkpoints").glob("*.images.parquet"))
    assert done
    assert annotate_here(root, tmp_path / "out", jobs=2).images == 31 - done


def test_workers_are_waited_for(cluster: Cluster, tmp_path: Path) -> None:
    """It is said that there are none, before the first and after the last; those that come are given work."""
    root = many_photos(tmp_path / "photos", 25)
    command = annotate_command(root, "-o", tmp_path / "out", "--cluster", cluster.address)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), text=True)
    assert process.stderr
    assert "has no workers" in process.stderr.readline()
    cluster.add(2, "--nthreads", "1", PYTHONPATH=ailing(tmp_path))
    assert "is at work again" in process.stderr.readline()
    wait_until_asked(tmp_path, 10, process)
    cluster.kill("worker")
    assert "has no workers" in process.stderr.readline()
    cluster.add(2, "--nthreads", "1")
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    annotate_here(root, tmp_path / "local", jobs=2)
    assert_same_tables(tmp_path / "local", tmp_path / "out")


def test_frozen_workers(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If none answers, the run ends in time; one of two is told of, and what it was given is done once it wakes."""
    monkeypatch.setattr("batch.workers.cluster_watch._SILENT", 2.0)
    root = many_photos(tmp_path / "photos", 25)
    cluster.add(2, "--nthreads", "1")
    workers = list(cluster.client.run(os.getpid).values())

    def wake_the_second() -> None:
        while "1 of the workers" not in caplog.text:
            time.sleep(0.1)
        os.kill(workers[1], signal.SIGCONT)

    waking = threading.Thread(target=wake_the_second, daemon=True)
    try:
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        with pytest.raises(ClusterError, match=r"none of its workers answers.*--cluster-timeout 3.*next run goes on"):
            annotate_here(root, tmp_path / "out", cluster=cluster.address, cluster_timeout=3)
        os.kill(workers[0], signal.SIGCONT)
        waking.start()
        annotate_here(root, tmp_path / "out", cluster=cluster.address)
        assert "do not answer; what they have been given waits" in caplog.text
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    annotate_here(root, tmp_path / "local", jobs=2)
    assert_same_tables(tmp_path / "local", tmp_path / "out")


def test_what_dask_gives_up_is_tried_again(command: Run, tmp_path: Path) -> None:
    """Images whose workers have been killed too often for Dask are not to blame: they wait for a moment."""
    root = many_photos(tmp_path / "photos", 12)
    astronaut().save(root / "005-deadly.jpg")
    (tmp_path / "cluster").mkdir()
    with closing(Cluster(tmp_path / "cluster", DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES="0")) as cluster:
        cluster.add(1, "--nthreads", "1", PYTHONPATH=ailing(tmp_path))
        done = command(root, "-o", tmp_path / "out", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    assert "images cannot be read for now" in done.stderr
    images = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert len(images) == 14
    assert images["005-deadly.jpg"] == "ok"
    assert "crashed" not in set(images)


def test_an_archive(cluster: Cluster, photos: Path, command: Run, tmp_path: Path) -> None:
    """Workers open the archive that they see, and one that they do not see ends the run; any kind of worker will do."""
    shutil.make_archive(str(photos), "zip", photos)
    annotate_here(photos, tmp_path / "local")
    cluster.add(1, "--nthreads", "2", "--no-nanny")
    done = command(photos.with_suffix(".zip"), "-o", tmp_path / "remote", "--cluster", cluster.address)
    assert done.returncode == 0, done.stderr
    assert_same_rows(tmp_path / "local", tmp_path / "remote")
    unseen = ["/proc/self/cwd/photos.zip", "-o", tmp_path / "other", "--cluster", cluster.address]
    done = subprocess.run(
        annotate_command(*unseen), capture_output=True, text=True, check=False, cwd=tmp_path, env=environment()
    )
    assert (done.returncode, "cannot do the work: No such file" in done.stderr) == (5, True), done.stderr


def test_workers_that_do_not_see_the_photographs(cluster: Cluster, photos: Path, tmp_path: Path) -> None:
    """The run ends with the reason."""
    cluster.add(1, "--nthreads", "1")
    own = Path("/proc/self/cwd") / photos.name  # another folder in each process
    command = annotate_command(own, "-o", tmp_path / "out", "--cluster", cluster.address)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment())
    assert done.returncode == 5, done.stderr
    assert "does not see the photographs in /proc/self/cwd/photos" in done.stderr
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


def test_workers_with_other_code(cluster: Cluster, photos: Path, tmp_path: Path) -> None:
    """A worker from another checkout, which says the same version, ends the run: its rows might be others."""
    shutil.copytree(Path(batch.__file__).parent, tmp_path / "other" / "batch")
    with (tmp_path / "other" / "batch" / "outcome.py").open("a") as changed:
        changed.write("# changed\n")
    there = [str(tmp_path / "other"), str(Path(batch.__file__).parents[1])]
    cluster.add(1, PYTHONPATH=os.pathsep.join(there))
    with pytest.raises(ClusterError, match=r"it has version \S+ \(\w{8}\) of emotion-annotate, and not"):
        annotate_here(photos, tmp_path / "out", cluster=cluster.address)


def test_no_scheduler(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where nothing listens, nor where somebody listens who says nothing, nor where a web server does."""
    monkeypatch.setattr("batch.workers.cluster._PATIENCE", 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as web,
    ):
        threading.Thread(target=web.serve_forever, daemon=True).start()
        for place in ("tcp://127.0.0.1:9", *("{}:{}".format(*server.getsockname()) for server in (silent, web.socket))):
            since = time.monotonic()
            with pytest.raises(ClusterError, match=rf"No Dask scheduler answers at {place} within 1 s"):
                annotate_here(photos, tmp_path / "out", cluster=place)
            assert time.monotonic() - since < 10
        web.shutdown()


def test_no_workers(cluster: Cluster, photos: Path, tmp_path: Path) -> None:
    """Without any the run ends after --cluster-timeout."""
    with pytest.raises(ClusterError, match=r"it has no workers.*--cluster-timeout 1.*next run goes on"):
        annotate_here(photos, tmp_path / "out", cluster=cluster.address, cluster_timeout=1)
