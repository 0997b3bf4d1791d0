"""What a run leaves behind."""

import subprocess
from pathlib import Path

from conftest import annotate_command, assert_same_tables, environment


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The files below a folder, with their bytes and modification times."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns) for file in files}


def test_two_runs_at_once_leave_their_outputs_and_nothing_else(photos: Path, tmp_path: Path) -> None:
    """Two outputs over the same photographs do not get into each other's way, and nothing is written elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    for name in ("home", "tmp", "cwd"):
        (elsewhere / name).mkdir(parents=True)
    places = {"HOME": str(elsewhere / "home"), "TMPDIR": str(elsewhere / "tmp"), "PYTHONPATH": str(Path.cwd())}
    settings = environment() | places
    for name in ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "ORT_DISABLE_TELEMETRY"):
        settings.pop(name, None)  # where they are set, some libraries behave better than on a person's machine
    before = contents(photos)
    runs = [
        subprocess.Popen(
            annotate_command(photos, "-o", tmp_path / output, "-j", 2),
            env=settings,
            cwd=elsewhere / "cwd",
            stderr=subprocess.PIPE,
            text=True,
        )
        for output in ("one", "other")
    ]
    for run in runs:
        _, said = run.communicate(timeout=240)
        assert run.returncode == 0, said
    assert_same_tables(tmp_path / "one", tmp_path / "other")
    assert contents(photos) == before
    assert contents(elsewhere) == {}
    assert {"one", "other", "elsewhere", "photos"} >= {place.name for place in tmp_path.iterdir()}
