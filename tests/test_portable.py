"""What only Linux has is not needed: the functions that other systems lack are taken away."""

import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import annotate_here, tables

from batch.tables.files import flush, write_durably
from jobs.options import annotation_settings


def test_cores_are_counted_without_affinity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MacOS and Windows cannot tell the cores of a process; there are as many jobs as the machine has."""
    here = annotation_settings([str(tmp_path)]).processes
    assert here >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert annotation_settings([str(tmp_path)]).processes >= here
    assert annotation_settings([str(tmp_path)], jobs=3).processes == 3


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
