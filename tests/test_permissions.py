"""What may not be read or written, for a user who is not above permissions."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import Run, annotate_command, astronaut, environment

WITHOUT_PRIVILEGES = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
"""Lets root run a program for which permissions count."""


@pytest.fixture
def as_user() -> Run:
    """Run ``annotate`` as one for whom permissions count."""
    prefix = () if os.getuid() else WITHOUT_PRIVILEGES
    if prefix and not shutil.which(prefix[0]):
        pytest.skip("needs setpriv where root runs the tests")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [*prefix, *annotate_command(*arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment())

    return run


@pytest.fixture
def locked() -> Iterator[list[Path]]:
    """Paths whose permissions are given back at the end."""
    paths: list[Path] = []
    yield paths
    for path in paths:
        path.chmod(0o755)


def lock(paths: list[Path], path: Path, mode: int) -> None:
    paths.append(path)
    path.chmod(mode)


def test_what_may_not_be_read_is_a_row_or_keeps_its_rows(
    photos: Path, as_user: Run, locked: list[Path], tmp_path: Path
) -> None:
    """A photograph without permission is denied; a folder that cannot be listed any more keeps its rows."""
    astronaut().save(photos / "secret.jpg")
    lock(locked, photos / "secret.jpg", 0)
    first = as_user(photos, "-o", tmp_path / "out")
    assert first.returncode == 0, first.stderr
    before = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert before["secret.jpg"] == "denied"
    assert before["deep/mirrored.png"] == "ok"
    lock(locked, photos / "deep", 0)
    astronaut().save(photos / "new.jpg")
    second = as_user(photos, "-o", tmp_path / "out")
    assert second.returncode == 0, second.stderr
    assert f"cannot list {photos}/deep" in second.stderr
    after = pd.read_parquet(tmp_path / "out" / "images.parquet").set_index("path")["status"]
    assert sorted(after.index) == sorted([*before.index, "new.jpg"])
    assert after["deep/mirrored.png"] == "ok"
    strict = as_user(photos, "-o", tmp_path / "out", "--strict")
    assert strict.returncode == 3, strict.stderr


def test_photographs_need_not_be_writable(photos: Path, as_user: Run, locked: list[Path], tmp_path: Path) -> None:
    """Nothing is written among the photographs."""
    for path in (photos, photos / "deep", photos / "astronaut.jpg"):
        lock(locked, path, 0o555)
    before = sorted(photos.rglob("*"))
    done = as_user(photos, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(photos.rglob("*")) == before


def test_output_that_may_not_be_written(photos: Path, as_user: Run, locked: list[Path], tmp_path: Path) -> None:
    """It is exit code 5 before any work, and a snapshot that is there stays whole."""
    assert as_user(photos, "-o", tmp_path / "out").returncode == 0
    snapshot = {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()}
    astronaut().save(photos / "new.jpg")
    lock(locked, tmp_path / "out", 0o555)
    for file in (tmp_path / "out").iterdir():
        lock(locked, file, 0o444)
    done = as_user(photos, "-o", tmp_path / "out")
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stderr
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").iterdir()} == snapshot
    nested = as_user(photos, "-o", tmp_path / "out" / "deeper")
    assert nested.returncode == 5, nested.stderr
