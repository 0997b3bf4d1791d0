"""The benchmarks' figures can be compared."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from batch.outcome import Box
from jobs.training.face_sets import KnownFaces, split

BENCHMARKS = Path(__file__).parent / "benchmarks"


def test_two_revisions_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures of the same measurement and their ratio; what only one has measured is named."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    from figures import write_figures

    write_figures(tmp_path / "one.json", [{"files": 10, "way": "a", "ms": 2.0, "MB": 100.0}, {"files": 5, "ms": 1.0}])
    write_figures(tmp_path / "two.json", [{"files": 10, "way": "a", "ms": 1.0, "MB": 110.0}])
    write_figures(None, [])
    line = [sys.executable, BENCHMARKS / "compare.py", tmp_path / "one.json", tmp_path / "two.json"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[2:] == [
        "| files 10, way a | ms | 2 | 1 | 0.50 |",
        "| files 10, way a | MB | 100 | 110 | 1.10 |",
    ]
    assert done.stderr == "only in one: files 5\n"


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the benchmarks be imported, which nobody installs."""
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.mark.usefixtures("benchmarks")
def test_detectors_are_measured() -> None:
    """Of two faces the small one was found: half of them, and nothing else, in 2 s of the cascade's 4."""
    from detection import Timed, asked_for, figures, precision_by_size

    known, timed = [KnownFaces(np.array([[0, 0, 50, 50], [200, 0, 100, 100.0]]), 1024)], Timed(2.0)
    timed.add([(0, 0, 50, 50)], [0.9])
    told = {"recall": 0.5, "precision": 1.0, "ms": 2000.0, "share": 0.5}
    assert figures("a", timed, known, 4.0) == {"photographs": 1, "detector": "a", **told}
    sizes = {"recall at 95 %": 0.5, "all": 0.5, "40 to 80": 1.0, "80 to 160": 0.0, "above": 0.0}
    assert precision_by_size("a", timed, known) == {"detector": "a", **sizes}
    paths = [f"{folder}/{number}" for folder in "ab" for number in range(10)]
    held_out = split(paths, 0.2, 0)[1]
    assert asked_for(paths, held_out=True, below="") == held_out
    assert asked_for(paths, held_out=False, below="b/") == paths[10:]


@pytest.mark.usefixtures("benchmarks")
def test_stages_are_measured_on_what_is_trained_on() -> None:
    """Some of the photographs that are not held out."""
    from cascade_stages import some_trained_on

    paths = [str(number) for number in range(20)]
    assert len(some_trained_on(paths, 3)) == 3
    assert sorted(some_trained_on(paths, 99)) == split(paths, 0.2, 0)[0]


@pytest.mark.usefixtures("benchmarks")
def test_moved_boxes_and_changed_labels() -> None:
    """On a ramp downwards only moves downwards change the crop; of twelve labels three change, one of a sure face."""
    from stability import moved_crops, rates

    ramp = np.repeat(np.arange(200, dtype=np.uint8)[:, None], 200, axis=1)
    crops = moved_crops(ramp, Box(60, 60, 80, 80), 80).astype(int)
    middle = crops[:, 24, 24] - crops[0, 24, 24]
    assert middle.tolist() == pytest.approx([0, 0, 0, 4, -4, 0, 0], abs=1)
    labels = np.zeros((2, 7, 3))
    labels[0, :, 0], labels[1, :, 0] = 0.6, 0.4
    labels[0, 2, 1], labels[1, 5:, 1] = 0.9, 0.9
    assert rates(labels) == "25.0 % | 16.7 % of 1"


@pytest.mark.usefixtures("benchmarks")
def test_cost_of_the_columns_of_quality() -> None:
    """Ten images with twenty boxes of five faces: 2 s of 8 are a quarter."""
    from quality import Clock, line

    clock = Clock()
    clock.boxes, clock.seconds = 20, 2.0
    assert line("cnn", 5, 10, clock, 8.0) == "| cnn | 0.5 | 2.0 | 200.00 | 800.0 | 25.0% |"
