"""What the tests share: real photographs, folders of them, and the job run as a user runs it."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skimage.data
from PIL import Image

from batch.outcome import ImageFile, Result, Waiting
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings
from jobs.annotation.job import annotation_job
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings
from model.bundle import EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL

WORKER = WorkerSettings(
    DetectorSettings(glance=GLANCE_MODEL),
    networks=NetworkFiles(EMOTION_MODEL.with_suffix(".onnx"), FACE_MODEL.with_suffix(".onnx")),
)
"""A worker that labels the faces, with what ships."""

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has it ignored by what it starts in the background

SHARED = Path(__file__).parents[2] / "shared" / "data"

LONGEST = (
    *("test_store_faults", "test_train_detector", "test_training.py", "test_cluster", "test_pool", "test_faults"),
    *("test_train_faces", "test_annotate", "test_report", "test_program", "test_kill", "test_training_rules"),
    *("test_network.py", "test_mutations", "test_floors", "test_training_in_process", "test_archives"),
)
"""Files whose tests take longest: begun first, so that no worker is left with one while the others are done, and so
that of three workers on two cores one is with tests that mostly wait."""

Run = Callable[..., subprocess.CompletedProcess[str]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; xdist keeps the order with ``--dist loadfile --no-loadscope-reorder``."""
    items.sort(key=lambda item: next((i for i, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)))


def astronaut() -> Image.Image:
    """The astronaut photograph (NASA, public domain) that scikit-image ships: one smiling face, 512 x 512."""
    return Image.fromarray(skimage.data.astronaut())


def without_people() -> Image.Image:
    """A photograph of a cup of coffee, without a face."""
    return Image.fromarray(skimage.data.coffee())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a face, none, and a damaged file, at two depths."""
    return write_photos(tmp_path / "photos")


def write_photos(root: Path) -> Path:
    """Write what ``photos`` has into the folder ``root``."""
    (root / "deep" / "er").mkdir(parents=True)
    astronaut().save(root / "astronaut.jpg", quality=92)
    astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "deep" / "mirrored.png")
    without_people().save(root / "deep" / "er" / "coffee.webp")
    (root / "deep" / "broken.jpg").write_bytes(b"this is no image")
    return root


@pytest.fixture(autouse=True)
def log_of_its_own() -> None:
    """Begin each test with the log as it is before a command sends it elsewhere, or quietens it, in this process."""
    log = logging.getLogger("annotate")
    log.setLevel(logging.NOTSET)
    log.propagate = True
    log.handlers.clear()


@pytest.fixture(name="worker")
def worker_settings() -> WorkerSettings:
    """``WORKER``, for tests whose processes had better not import all that stands here."""
    return WORKER


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data beside the checkout; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no development data at {SHARED}")
    return SHARED


@pytest.fixture
def untraced() -> Iterator[None]:
    """Run networks of a few numbers step by step: TensorFlow would take longer to compile than to compute."""
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def command() -> Run:
    """Run ``annotate`` in a process of its own and give what it printed and its exit code."""

    def run(*arguments: object, timeout: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            annotate_command(*arguments),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=environment(),
        )

    return run


OFTEN = "from batch.tables import checkpoints; checkpoints.EVERY_SECONDS = 0.3; "
"""Before the program starts: so that runs of a few seconds also die between checkpoints, and as they write one."""


def annotate_command(*arguments: object) -> list[str]:
    """The command line of ``annotate``, with the interpreter that runs the tests."""
    start = "from jobs.annotate import app; app(prog_name='annotate')"
    return [sys.executable, "-c", start, *map(str, arguments)]


def environment() -> dict[str, str]:
    """Give the environment for a command: this process', with a terminal of fixed width and no colours."""
    return {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}


def unmeasured() -> dict[str, str]:
    """The environment for a command whose coverage is not wanted, as it is killed, or one of many: it is faster so."""
    return {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}


@pytest.fixture
def unmeasured_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no process that a test starts count what it runs: many of them are killed, and others' tests count it."""
    for name in os.environ.keys() - unmeasured().keys():
        monkeypatch.delenv(name)


def annotate_chunk(chunk: list[ImageFile], settings: WorkerSettings) -> list[Result]:
    """What a worker makes of each image of a chunk, in order."""
    from batch.workers.worker import annotate_each  # and OpenCV with it

    return [result for result in annotate_each(chunk, settings) if not isinstance(result, Waiting)]


def annotate_here(root: Path | str, output: Path, **changes: object) -> RunReport:
    """Run the job in this process, without workers unless ``changes`` to the settings say otherwise."""
    settings = AnnotationSettings(roots=(root,), output=output, jobs=0)
    report = RunReport()
    with report, annotation_job(_changed(settings, changes), report) as job:
        job.run()
    return report


def _changed(settings: AnnotationSettings, changes: dict[str, object]) -> AnnotationSettings:
    return AnnotationSettings(**{**vars(settings), **changes})


def tables(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images and faces of an output, without the moment of annotation."""
    images = pd.read_parquet(output / "images.parquet").drop(columns="annotated_at")
    return images, pd.read_parquet(output / "faces.parquet")


def assert_same_tables(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    """The two outputs hold the same rows, probabilities within ``tolerance``."""
    for left, right in zip(tables(one), tables(other), strict=True):
        pd.testing.assert_frame_equal(left, right, atol=tolerance, rtol=0, check_categorical=False)


def assert_same_rows(one: Path, other: Path) -> None:
    """The two outputs hold the same rows but for the names of their roots and the files' times."""
    for pair in zip(tables(one), tables(other), strict=True):
        left, right = (table.drop(columns=["root", "modified_ns"], errors="ignore") for table in pair)
        pd.testing.assert_frame_equal(left, right, atol=1e-5, rtol=0, check_categorical=False)


def noise(seed: int, size: int = 64) -> Image.Image:
    """A small image without a face."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (size, size, 3), np.uint8))


def multiply_adds(network: Any) -> int:
    """The multiply-adds of a Keras network's convolutions and dense layers for one crop."""
    operations = 0
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            positions = np.prod(layer.output.shape[1:3]) if len(layer.output.shape) == 4 else 1
            operations += int(positions * np.prod(layer.kernel.shape))
    return operations
