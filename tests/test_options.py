"""The options from Python: ``annotate`` as a function, for notebooks."""

import inspect
from pathlib import Path

import pandas as pd
import pytest

from batch.errors import RootError
from jobs.annotate import annotate, command
from jobs.option_values import UsageError

ONLY_ON_THE_COMMAND_LINE = {"dry_run", "strict", "quiet", "log_format", "version"}


def test_python_gives_the_tables_that_the_output_holds(photos: Path, tmp_path: Path) -> None:
    """Folders in, DataFrames out; a second call adds what is new, with options as strings."""
    (photos / "deep" / "mirrored.png").rename(tmp_path / "later.png")
    first = annotate(photos, output=tmp_path / "out", jobs=1)
    assert list(first.images["status"]) == ["ok", "unreadable", "no_face"]
    (tmp_path / "later.png").rename(photos / "deep" / "mirrored.png")
    faces, images = annotate(str(photos), output=str(tmp_path / "out"), jobs=1, csv=True)
    assert list(faces["emotion"]) == ["joy", "joy"]
    assert len(images) == 4
    pd.testing.assert_frame_equal(faces, pd.read_parquet(tmp_path / "out" / "faces.parquet"))
    assert len(pd.read_csv(tmp_path / "out" / "faces.csv")) == 2


def test_python_raises_what_the_command_says(photos: Path, tmp_path: Path) -> None:
    """No exit codes in a notebook: exceptions with the message and the fix."""
    with pytest.raises(RootError, match="No such root"):
        annotate(tmp_path / "absent", output=tmp_path / "out")
    with pytest.raises(UsageError, match="lie within each other"):
        annotate(photos, output=tmp_path / "out", crops=photos / "crops")
    with pytest.raises(UsageError, match="expected one of cascade, cnn, yunet, received 'haar'"):
        annotate(photos, output=tmp_path / "out", detector="haar")
    with pytest.raises(UsageError, match="at least one folder"):
        annotate(output=tmp_path / "out")
    for option in ("output", "crops", "draw"):
        with pytest.raises(UsageError, match="expected a folder, received the URL s3:/b/p"):
            annotate(photos, **{"output": tmp_path / "out", option: "s3://b/p"})
    with pytest.raises(TypeError, match="detekt_size"):
        annotate(photos, output=tmp_path / "out", detekt_size=640)
    assert not (tmp_path / "out" / "faces.parquet").exists()


def test_the_detector_of_the_environment_holds_for_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """ANNOTATE_DETECTOR decides for a notebook as for the command, or their runs would undo each other."""
    monkeypatch.setenv("ANNOTATE_DETECTOR", "haar")
    with pytest.raises(UsageError, match="received 'haar'"):
        annotate(tmp_path)


def test_command_and_python_have_the_same_options() -> None:
    """Every option of the command is one of Python's, with the same default."""
    ours, theirs = (dict(inspect.signature(f).parameters) for f in (annotate, command))
    assert set(theirs) - set(ours) == ONLY_ON_THE_COMMAND_LINE
    assert "detector" in theirs and ours.pop("detector").default is None  # the environment's, else the command's
    assert {name: ours[name].default for name in ours if name != "roots"} == {
        name: theirs[name].default for name in ours if name != "roots"
    }
