"""What a person is told when something is not as meant."""

import json
import logging
from pathlib import Path

import pytest
import typer
from conftest import annotate_here, noise

from batch.errors import OutputError, RootError
from batch.roots.walk import WalkSettings
from jobs.annotation.outputs import changes, check_nested
from jobs.errors import exit_codes
from jobs.log import LogFormat, start_logging
from jobs.option_values import UsageError
from jobs.options import annotation_settings


def test_each_part_of_the_identity_that_changed_is_told() -> None:
    """From what to what, by name, with hashes short; nothing of what is the same."""
    old = {"schema": 1, "model": "a" * 64, "labels": ["joy"], "detector": {"name": "cascade", "detect_size": 640}}
    new = {"schema": 1, "model": "b" * 64, "labels": ["joy"], "detector": {"name": "cnn", "detect_size": 640}}
    assert list(changes(old, new)) == [f"model: {'a' * 12} -> {'b' * 12}", "detector name: cascade -> cnn"]
    assert list(changes(new, new)) == []


def test_roots_within_each_other_are_refused_across_runs(tmp_path: Path) -> None:
    """Whichever comes first, the folder or the one within: their faces would count twice. Neighbours are welcome."""
    inner = tmp_path / "photos" / "2024"
    for folder in (inner, tmp_path / "photos2"):
        folder.mkdir(parents=True)
        noise(1).save(folder / "a.png")
    annotate_here(inner, tmp_path / "out")
    with pytest.raises(OutputError, match=r"2024; that lies within .*photos, and faces would count twice.*-o"):
        annotate_here(tmp_path / "photos", tmp_path / "out")
    annotate_here(tmp_path / "photos2", tmp_path / "out")
    with pytest.raises(OutputError, match="--include '2024/"):
        check_nested([str(inner)], [str(tmp_path / "photos")], tmp_path / "out")


def test_a_pattern_matches_a_folder() -> None:
    """The name of a folder, or its path, lets in what lies below it; case counts."""
    for pattern in ("holiday", "2024/holiday", "2024", "2024/holiday/", "2024/*", "*.jpg"):
        assert WalkSettings(include=(pattern,)).wants("2024/holiday/a.jpg"), pattern
        assert not WalkSettings(exclude=(pattern,)).wants("2024/holiday/a.jpg"), pattern
    assert not WalkSettings(include=("Holiday",)).wants("2024/holiday/a.jpg")


@pytest.mark.parametrize("excluded", [{"include": ("nomatch*",)}, {"exclude": ("*",)}])
def test_patterns_that_leave_nothing_are_told(
    excluded: dict[str, tuple[str, ...]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither "nothing new" nor a question about the disk: the patterns are named, and rows stay."""
    (tmp_path / "photos").mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    annotate_here(tmp_path / "photos", tmp_path / "out")
    annotate_here(tmp_path / "photos", tmp_path / "out", walk=WalkSettings(**excluded))
    assert "let through by --include and --exclude" in caplog.text
    assert "all known" not in caplog.text


def test_a_file_as_a_root_has_its_way_out(tmp_path: Path) -> None:
    """What is neither a folder nor a photograph nor an archive that is read is to be unpacked."""
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    with pytest.raises(RootError, match=r"neither a photograph nor a \.zip.*Unpack it"):
        annotate_here(tmp_path / "a.rar", tmp_path / "out")


def test_tables_do_not_go_among_the_photographs_nor_work_to_nonsense(tmp_path: Path) -> None:
    """A root as output, and an address that is none, are wrong usage before anything starts."""
    (tmp_path / "photos").mkdir()
    with pytest.raises(UsageError, match=r"output: .* is a folder of photographs"):
        annotation_settings(tmp_path / "photos", output=tmp_path / "photos")
    with pytest.raises(UsageError, match="cluster: expected an address such as"):
        annotation_settings(tmp_path, cluster="nonsense")
    assert annotation_settings(tmp_path, cluster="tcp://head:8786").cluster == "tcp://head:8786"


def test_json_logs_have_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --log-format json the last line is an object, too, with the exit code."""
    start_logging(LogFormat.JSON)
    try:
        with pytest.raises(typer.Exit), exit_codes():
            raise RootError("No such root")
        line = json.loads(capsys.readouterr().err)
    finally:
        logging.getLogger("annotate").handlers.clear()
    assert (line["level"], line["exit"], line["message"]) == ("error", 5, "error: No such root")
