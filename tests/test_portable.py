"""What only Linux has is not needed: the functions that other systems lack are taken away."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import annotate_command, annotate_here, assert_same_rows, environment, tables

from batch.tables.files import flush, write_durably
from jobs.options import annotation_settings


def test_cores_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MacOS and Windows cannot tell the cores of a process; there are as many jobs as the machine has."""
    here = annotation_settings([str(tmp_path)]).processes
    assert here >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert annotation_settings([str(tmp_path)]).processes >= here
    assert annotation_settings([str(tmp_path)], jobs=3).processes == 3


LACKING = """
import os
import signal

for module, names in {
    signal: ("SIGHUP", "SIGQUIT", "SIGBUS", "SIGKILL"),
    os: ("sched_getaffinity", "O_DIRECTORY", "mkfifo", "getuid", "geteuid", "statvfs", "getpgid", "setsid", "killpg"),
}.items():
    for name in names:
        delattr(module, name)
"""
"""What each Python of a folder with this as sitecustomize.py does first: take away what Windows lacks."""


def test_processes_run_where_signals_and_calls_are_missing(photos: Path, tmp_path: Path) -> None:
    """The program and its workers give the same rows, and know them again."""
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking" / "sitecustomize.py").write_text(LACKING)
    path = os.pathsep.join([str(tmp_path / "lacking"), *sys.path])
    words = annotate_command(photos, "--output", tmp_path / "out", "--jobs", 2)
    for said in ("4 images in", "nothing new"):
        done = subprocess.run(
            words, env=environment() | {"PYTHONPATH": path}, capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, said in done.stderr) == (0, True), done.stderr
    annotate_here(photos, tmp_path / "here")
    assert_same_rows(tmp_path / "out", tmp_path / "here")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """``os`` as Windows has it: no folder can be opened, and only what is open for writing be flushed."""
    opened, flushed = os.open, os.fsync

    def open_file(path: Any, flags: int, *rest: Any, **options: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, flags, *rest, **options)

    def fsync(file: int) -> None:
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        flushed(file)

    monkeypatch.delattr(os, "O_DIRECTORY")
    monkeypatch.setattr(os, "open", open_file)
    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.usefixtures("windows")
def test_folders_that_cannot_be_opened_are_not_flushed(tmp_path: Path) -> None:
    """Files are written and flushed all the same."""
    write_durably(tmp_path / "a.txt", lambda file: file.write(b"whole"))
    assert (tmp_path / "a.txt").read_bytes() == b"whole"
    flush(tmp_path)


@pytest.mark.usefixtures("windows")
def test_the_job_runs_where_no_folder_can_be_opened(photos: Path, tmp_path: Path) -> None:
    """Tables come out, and a second run finds everything done."""
    annotate_here(photos, tmp_path / "out")
    assert len(tables(tmp_path / "out")[0]) == 4
    assert annotate_here(photos, tmp_path / "out").images == 0


def test_a_folder_that_may_not_be_read_is_still_an_error(tmp_path: Path) -> None:
    """Where folders can be opened, one that is not there is no folder."""
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "none")
