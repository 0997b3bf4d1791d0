"""The options from Python: ``annotate`` as a function, for notebooks."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import environment

from batch.errors import RootError
from jobs.annotate import annotate, command
from jobs.option_values import UsageError
from jobs.options import annotation_settings, in_python

ONLY_ON_THE_COMMAND_LINE = {"verbose", "dry_run", "strict", "quiet", "log_format", "version"}


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
    with pytest.raises(TypeError, match=r"annotate\(\) got an unexpected keyword argument 'detekt_size'"):
        annotate(photos, output=tmp_path / "out", detekt_size=640)
    assert not (tmp_path / "out" / "faces.parquet").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jobs", 0),
        ("batch_size", 0),
        ("detect_size", 10),
        ("face_threshold", 2),
        ("face_threshold", -0.1),
        ("face_threshold", float("nan")),
        ("max_pixels", 0),
        ("image_timeout", 0.5),
        ("limit", -3),
        ("jobs", "2"),
        ("jobs", 1.5),
        ("limit", True),
        ("csv", "yes"),
        ("prune", 1),
        ("include", 3),
        ("include", [Path("a")]),
        ("model", 3),
        ("shard", "3/2"),
    ],
)
def test_python_checks_what_the_command_checks(option: str, value: object, tmp_path: Path) -> None:
    """A value out of its range is an error that names the parameter and what was expected."""
    with pytest.raises(UsageError, match=rf"{option}: expected .*received"):
        annotate(tmp_path, output=tmp_path / "out", **{option: value})
    assert not (tmp_path / "out").exists()


def test_a_text_is_a_list_of_one(tmp_path: Path) -> None:
    """A pattern alone is no list of letters; roots come one by one, as a list, or both."""
    patterns = annotation_settings("photos", include="obama*", exclude=["*.png", "*.gif"]).walk
    assert (patterns.include, patterns.exclude) == (("obama*",), ("*.png", "*.gif"))
    expected = tuple(str(Path.cwd() / name) for name in ("a", "b", "c"))
    assert annotation_settings(["a", ["c", Path("b")]]).roots == expected
    assert annotation_settings(Path(name) for name in "abc").roots == expected
    assert annotation_settings(("a", "a")).roots == expected[:1]
    for roots in ((), [[]], [""], [3], b"photos"):
        with pytest.raises(UsageError, match="roots: expected"):
            annotation_settings(roots)


def test_every_option_is_a_setting(tmp_path: Path) -> None:
    """What is given is what the job is told, each in its place."""
    settings = annotation_settings(
        *("photos", tmp_path / "out", True, 3, 9),
        detect_size=320,
        face_threshold=0.3,
        device="cpu",
        crops=tmp_path / "crops",
        draw=tmp_path / "draw",
        without_neutral=True,
        follow_symlinks=True,
        max_pixels=77,
        image_timeout=11,
        store_timeout=22,
        shard="2/5",
        cluster_timeout=33,
        limit=4,
        rescan=True,
        prune=True,
    )
    assert (settings.output, settings.csv, settings.jobs, settings.batch_size) == (tmp_path / "out", True, 3, 9)
    assert (settings.crops, settings.draw) == (tmp_path / "crops", tmp_path / "draw")
    assert (settings.device, settings.without_neutral, settings.limit) == ("cpu", True, 4)
    assert (settings.rescan, settings.retry_failed, settings.prune) == (True, False, True)
    assert annotation_settings("photos", retry_failed=True).retry_failed
    worker = settings.worker
    assert (worker.detector.detect_size, worker.detector.face_threshold) == (320, 0.3)
    assert (worker.max_pixels, worker.image_timeout, worker.store_timeout) == (77, 11, 22)
    assert settings.cluster_timeout == 33
    assert (settings.walk.follow_symlinks, settings.walk.shard) == (True, (2, 5))


def test_for_ever_is_a_long_time() -> None:
    """What the system's clocks do not take is no reason to stop."""
    assert 10**5 < annotation_settings("a", image_timeout=float("inf")).worker.image_timeout < 2**31 / 1000


@pytest.mark.parametrize("name", ["annotate", "report", "train", "evaluate", "export"])
def test_a_module_is_its_command(name: str) -> None:
    """``python -m jobs.annotate`` is ``annotate``, and not a program that does nothing."""
    command = [sys.executable, "-m", f"jobs.{name}", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, done.stdout.startswith("emotion-annotate ")) == (0, True), done.stderr


NOTEBOOK = """
from jobs.annotate import annotate
faces, images = annotate({photos!r}, output={output!r}, jobs=1)
print(len(images), "images,", len(faces), "faces")
"""


def test_in_a_notebook(photos: Path, tmp_path: Path) -> None:
    """A cell shows a bar while it works, and what was done, and nothing of the libraries; the next has nothing new."""
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cell = NOTEBOOK.format(photos=str(photos), output=str(tmp_path / "out"))
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for _ in range(2)])
    shown: list[str] = []
    client = nbclient.NotebookClient(notebook, timeout=240)
    client.on_cell_executed = None
    seen = client.process_message

    def watch(message: dict[str, object], *more: object) -> object:
        shown.append(str(message))
        return seen(message, *more)

    client.process_message = watch
    client.execute()
    first, second = (
        "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stdout")
        for cell in notebook.cells
    )
    assert not [output for cell in notebook.cells for output in cell.outputs if output.get("name") == "stderr"]
    assert any("<progress" in message and "images/s" in message for message in shown)
    assert "4 images" in first and "2 faces" in first
    assert "nothing new" in second and "4 images, 2 faces" in second


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
        name: str(default) if isinstance(default := theirs[name].default, Path) else default
        for name in ours
        if name != "roots"
    }


def test_help_tells_each_option_in_words_of_python() -> None:
    """A line for each with what --help says of it; defaults as one would write them."""
    assert "output: str | pathlib.Path = 'annotations'" in str(inspect.signature(annotate))
    assert "device: str = 'auto'" in str(inspect.signature(annotate))
    told = inspect.getdoc(annotate) or ""
    for name in inspect.signature(annotate).parameters:
        assert re.search(rf"^{name}( \(\S+\))?: \w.*\.", told, re.MULTILINE), name
    assert "image_timeout (SECONDS): Give up an image" in told and "--" not in told


def test_messages_name_the_parameters() -> None:
    """As one would write them; nothing is changed within a path, or of other commands' options."""
    said = "-o, (-o), say --prune, with --include '2024/*', (--store-timeout 900), --detector-model with"
    assert (
        in_python(said)
        == "output, (output), say prune=True, with include='2024/*', (store_timeout=900), detector_model with"
    )
    for text in ("/a/--prune", "a--prune", "--pruned", "--resume", "/photos-o"):
        assert in_python(text) == text


def test_a_misplaced_output_is_told(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second root that is not there may be meant as the output; nothing is written anywhere."""
    monkeypatch.chdir(tmp_path)
    for name in ("pyo", Path("pyo")):
        with pytest.raises(RootError, match=r"^No such root: pyo\. For the folder of the tables write output='pyo'\.$"):
            annotate(photos, name)
    assert [file.name for file in tmp_path.iterdir()] == ["photos"]


def test_what_a_person_can_mend_has_a_short_traceback(tmp_path: Path) -> None:
    """The call and the function: a notebook shows the message at the end, and pages of frames above it hide it."""
    for wrong in ({}, {"jobs": 0}):
        with pytest.raises((RootError, UsageError)) as raised:
            annotate(tmp_path / "absent", output=tmp_path / "out", **wrong)
        assert len(raised.traceback) == 2
        assert raised.value.__cause__ is None and raised.value.__suppress_context__
