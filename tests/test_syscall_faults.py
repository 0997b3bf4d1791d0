"""A whole small job in which one system call on the output fails, each in its turn; then the next run.

``make nightly`` has every one of some hundreds fail; otherwise a few of each kind do, others in each release.
"""

import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import skimage.data
from conftest import annotate_command, annotate_here, assert_same_tables, noise, unmeasured
from PIL import Image

from batch.tables.snapshot import read_annotations

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace makes the calls fail, and is not here")

FAULTS = {
    "openat": "EIO",
    "read": "EIO",
    "pread64": "EIO",
    "write": "ENOSPC",
    "fsync": "EIO",
    "rename": "EROFS",
    "unlink": "EIO",
    "mkdir": "ENOSPC",
    "rmdir": "EBUSY",
    "getdents64": "EIO",
    "newfstatat": "EIO",
    "lseek": "EIO",
}
"""What fails, and how."""
FEW = int(os.environ.get("ANNOTATE_FAULTS", "5"))
"""Cases; ``make nightly`` asks for all."""
ELSEWHERE = "another call failed, of the imports before: how many these make differs a little"


class Case(NamedTuple):
    """The how manieth call of a kind."""

    call: str
    nth: int


class Night(NamedTuple):
    """Photographs of which all but one are known, the output that knows them, and the tables that are to come."""

    photos: Path
    before: Path
    expected: Path
    cases: list[Case]


def traced(photos: Path, output: Path, trace: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """A run in one process, of whose first thread the calls go through strace."""
    command = ["strace", "-y", "-o", str(trace), "-e", f"trace={','.join(FAULTS)}", *options]
    run = ("-c", "import sys; from test_syscall_faults import run_here; sys.exit(run_here(*sys.argv[1:]))")
    python = [annotate_command()[0], *run, str(photos), str(output)]
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [*command, *python],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**unmeasured(), "PYTHONPATH": paths},
    )


def run_here(photos: str, output: str) -> int:
    """What ``annotate`` does of it, with its exit codes, without workers."""
    from jobs.errors import exit_codes

    try:
        with exit_codes():
            annotate_here(Path(photos), Path(output))
    except BaseException as error:
        code = getattr(error, "exit_code", getattr(error, "code", None))
        if not isinstance(code, int):
            raise
        return code
    return 0


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    folder = tmp_path_factory.mktemp("night")
    photos, before, expected = (folder / name for name in ("photos", "before", "expected"))
    photos.mkdir()
    noise(1).save(photos / "a.png")
    (photos / "b.jpg").write_bytes(b"no image")
    annotate_here(photos, before)
    Image.fromarray(skimage.data.astronaut()).save(photos / "c.jpg")
    shutil.copytree(before, expected)
    trace = folder / "trace"
    assert traced(photos, expected, trace).returncode == 0
    yield Night(photos, before, expected, list(calls_on(expected, trace)))


def calls_on(output: Path, trace: Path) -> Iterator[Case]:
    """The calls of a trace that name the output or a file in it."""
    counts: Counter[str] = Counter()
    for line in trace.read_text(errors="replace").splitlines():
        if match := re.match(r"(\w+)\(", line):
            counts[match[1]] += 1
            if str(output) in line:
                yield Case(match[1], counts[match[1]])


def test_no_failing_call_loses_a_row(night: Night, tmp_path: Path) -> None:
    """The exit code is that of the table, no traceback, whole tables, and the next run ends with the right ones."""
    assert {case.call for case in night.cases} >= {"openat", "write", "fsync", "rename", "unlink", "newfstatat"}
    drawn = np.random.default_rng(len(night.cases)).permutation(len(night.cases))[:FEW]
    cases = [night.cases[number] for number in sorted(drawn)]
    told = {case: what_is_wrong(night, tmp_path, case) for case in cases}
    assert {case: wrong for case, wrong in told.items() if wrong not in (None, ELSEWHERE)} == {}
    assert sum(wrong is None for wrong in told.values()) >= 0.8 * len(told)


def what_is_wrong(night: Night, folder: Path, case: Case) -> str | None:
    """What a run with that failure, or the next one, does that it should not."""
    output = folder / f"{case.call}-{case.nth}"
    shutil.copytree(night.before, output)
    done = traced(
        *(night.photos, output, folder / "trace"),
        *("-e", f"inject={case.call}:error={FAULTS[case.call]}:when={case.nth}"),
    )
    if not any("INJECTED" in line and str(output) in line for line in (folder / "trace").open(errors="replace")):
        return ELSEWHERE
    if done.returncode not in (0, 5) or "Traceback" in done.stderr:
        return f"exit {done.returncode}: {done.stderr[-1500:]}"
    try:
        read_annotations(output)
        annotate_here(night.photos, output)
        assert_same_tables(output, night.expected)
    except Exception as error:
        return f"exit {done.returncode}, and then {type(error).__name__}: {error}"
    shutil.rmtree(output)
    return None
