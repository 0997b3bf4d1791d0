"""The benchmarks' figures can be compared."""

import subprocess
import sys
from pathlib import Path

import pytest

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
