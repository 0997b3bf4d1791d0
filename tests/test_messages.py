"""What a person is told when something is not as meant."""

import json
import logging
import re
from importlib import import_module
from pathlib import Path

import pytest
import typer
from conftest import Run, annotate_here, astronaut, noise
from training_runs import here
from typer.testing import CliRunner

from batch.errors import OutputError, RootError
from batch.roots.walk import WalkSettings
from jobs.annotate import _ending
from jobs.annotation.job import annotation_job
from jobs.annotation.outputs import changes, check_nested
from jobs.annotation.progress_bar import NoBar
from jobs.annotation.run_report import RunReport
from jobs.errors import MENDABLE, exit_codes
from jobs.log import LogFormat, start_logging
from jobs.notebook import annotate
from jobs.option_values import UsageError
from jobs.options import annotation_settings
from model.errors import TrainingError
from model.extras import require_training_packages


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
    assert "all known" not in caplog.text and "but for which" not in caplog.text


def test_a_pattern_that_fails_for_its_case_alone_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The first image that would match is named, also one whose folder was meant."""
    (tmp_path / "photos" / "Holiday").mkdir(parents=True)
    noise(1).save(tmp_path / "photos" / "Holiday" / "IMG_1.PNG")
    for number, pattern in enumerate(("*.png", "holiday")):
        annotate_here(tmp_path / "photos", tmp_path / f"out{number}", walk=WalkSettings(include=(pattern,)))
    assert caplog.text.count("minds case, but for which Holiday/IMG_1.PNG would be let through") == 2


@pytest.mark.parametrize("arguments", [(), ("--dry-run",)])
def test_an_empty_folder_is_told(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Nothing is amiss with it, and still a person gets a word, and no page of nothing."""
    (tmp_path / "photos").mkdir()
    done = here("annotate", tmp_path / "photos", "-o", tmp_path / "out", "--quiet", *arguments)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count(f"no image found below {tmp_path / 'photos'}") == 1
    assert "annotate-report" not in here("annotate", tmp_path / "photos", "-o", tmp_path / "out2", *arguments).stderr


def test_one_photograph_is_told_as_one(tmp_path: Path) -> None:
    """A single image with a single face; and a refusal says what differs, unless the folder is misspelt."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "others").mkdir()
    astronaut().save(tmp_path / "photos" / "a.jpg")
    first = here("annotate", tmp_path / "photos", "-o", tmp_path / "out", "-j", 1).stderr
    assert "1 image in" in first and "1 face: 1 joy" in first and "hold 1 image and 1 face\n" in first
    assert "nothing new: the 1 image is known" in here("annotate", tmp_path / "photos", "-o", tmp_path / "out").stderr
    for folder, told in (("others", "detector name: cascade -> cnn"), ("phots", "No such root")):
        done = here("annotate", tmp_path / folder, "-o", tmp_path / "out", "--detector", "cnn", "--dry-run")
        assert (done.returncode, told in done.stderr) == (5, True), done.stderr


def test_failed_images_are_counted_alone() -> None:
    """Of two images the one that is broken, and nobody is told of failures if there are none."""
    for failed, told in ((1, ["1 image of this run failed: see status and error in /out/images.parquet"]), (0, [])):
        lines = [line.text for line in _ending({"images": 2, "faces": 3}, Path("/out"), failed, 0)]
        assert lines[0].endswith("hold 2 images and 3 faces")
        assert [line for line in lines if "of this run" in line] == told


def test_stages_are_for_who_asks(tmp_path: Path) -> None:
    """The summary has the seconds of each stage with --verbose alone."""
    (tmp_path / "photos").mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    for options in ((), ("--verbose",)):
        done = here("annotate", tmp_path / "photos", "-o", tmp_path / f"out{len(options)}", "-j", 1, *options)
        assert ("seconds by stage" in done.stderr, "1 image in" in done.stderr) == (bool(options), True), done.stderr


class Shown(NoBar):
    """A bar that knows what it showed."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def update(self, done: int, total: int | None, text: str) -> None:
        """Remember it."""
        self.texts.append(text)


def test_the_bar_says_what_is_done_before_the_first_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading, working, then images, then tables; that images are being found it says from the start."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        noise(number).save(tmp_path / "photos" / f"{number}.png")
    shown = Shown()
    monkeypatch.setattr("jobs.annotation.run_report.NoBar", lambda: shown)
    annotate_here(tmp_path / "photos", tmp_path / "out")
    assert shown.texts[0] == "loading the networks" and shown.texts[-1] == "writing the tables"
    assert sum("images/s" in text for text in shown.texts) == 3


COMMANDS = [(name, None) for name in ("annotate", "evaluate", "export", "report")]
COMMANDS += [("train", name) for name in ("emotions", "faces", "detector")]


@pytest.mark.parametrize(("module", "command_name"), COMMANDS)
def test_help_on_a_narrow_terminal(module: str, command_name: str | None) -> None:
    """At 80 columns no name of an option is cut, and no line is longer."""
    program = import_module(f"jobs.{module}").app
    words = ([command_name] if command_name else []) + ["--help"]
    done = CliRunner(env={"COLUMNS": "80", "TERM": "xterm"}).invoke(program, words, terminal_width=80)
    assert done.exit_code == 0 and "…" not in done.output
    assert max(map(len, done.output.splitlines())) <= 80
    whole = typer.main.get_command(program)
    one = whole.commands[command_name] if command_name else whole
    names = [name for option in one.params for name in option.opts if name.startswith("--")]
    assert names and all(re.search(rf"{name}\b", done.output) for name in names)
    assert "--quiet" in names and "Exit codes: 0 done" in " ".join(done.output.split())
    assert not re.search(r"<[^|>=]*>|--no-", done.output), "a type of Python's, or an option to say what holds anyhow"


def test_the_last_line_has_the_exit_code_and_pictures_their_place(tmp_path: Path, command: Run) -> None:
    """As objects: the rows of the tables, the code of the table at the end, and where crops and copies lie."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    pictures = "--crops", tmp_path / "faces", "--draw", tmp_path / "drawn"
    told = ("-o", tmp_path / "out", "-j", 1, "--log-format", "json")
    done = command(tmp_path / "photos", *told, "--strict", *pictures)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    (held,) = (line for line in lines if "rows" in line)
    assert held["rows"] == {"images": 1, "faces": 0}
    assert [line for line in lines if "exit" in line] == lines[-1:] and lines[-1]["exit"] == done.returncode == 3
    for folder in ("faces", "drawn"):
        assert any(line["message"].endswith(f": {tmp_path / folder}") for line in lines), lines
    astronaut().save(tmp_path / "photos" / "a.jpg")
    for images, known in ((1, None), (0, 2)):
        again = command(tmp_path / "photos", *told)
        lines = [json.loads(line) for line in again.stderr.splitlines()]
        assert lines[-1]["exit"] == again.returncode == 0
        (counts,) = (line for line in lines if "statuses" in line)
        assert (counts["images"], counts["faces"], counts.get("known")) == (images, images, known)
        assert counts["emotions"] == ({"joy": 1} if images else {}) and counts["seconds"] > 0


def test_wrong_usage_is_json_where_that_is_asked_for(tmp_path: Path, command: Run) -> None:
    """One object, whichever of the options Typer has not come to; and no word of how values are checked."""
    for words in (("--log-format=json",), (tmp_path, "--detector", "foo", "--log-format", "json")):
        done = command(*words)
        line = json.loads(done.stderr)
        assert (line["level"], line["exit"], done.returncode) == ("error", 2, 2)
        assert "'ROOT'" in line["message"] or "'foo' is not one of" in line["message"]
    said = command(tmp_path, "--detector", "foo").stderr
    assert "Usage: annotate" in said and "'foo' is not one of" in said and "Value error" not in said


def test_the_page_is_named_with_what_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the extra of reports is not installed, the advice says how to install it."""
    (tmp_path / "photos").mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    assert "[report]" not in here("annotate", tmp_path / "photos", "-o", tmp_path / "out", "-j", 1).stderr
    monkeypatch.setattr("jobs.annotate.find_spec", lambda _: None)
    said = here("annotate", tmp_path / "photos", "-o", tmp_path / "out", "-j", 1, "--rescan").stderr
    assert "once it is installed: pip install 'emotion-annotate[report]'" in said


def test_the_family_of_trainings_is_told_whole() -> None:
    """No sentence of the list of commands is cut off at 80 columns, and a list of folders has its dots once."""
    listed = CliRunner().invoke(import_module("jobs.train").app, ["--help"], terminal_width=80)
    assert "..." not in listed.output.partition("Commands:")[2]
    for module in ("annotate", "evaluate"):
        usage = CliRunner().invoke(import_module(f"jobs.{module}").app, ["--help"], terminal_width=80).output
        assert usage.splitlines()[0].count("...") <= 1


@pytest.mark.parametrize(("name", "way_out"), [("a.rar", "Unpack it"), ("a.txt", "Name a folder of photographs")])
def test_a_file_as_a_root_has_its_way_out(name: str, way_out: str, tmp_path: Path) -> None:
    """What is neither a folder nor a photograph nor an archive that is read is to be unpacked, if it is packed."""
    (tmp_path / name).write_bytes(b"Rar!")
    with pytest.raises(RootError, match=rf"neither a photograph nor a \.zip.*\. {way_out}"):
        annotate_here(tmp_path / name, tmp_path / "out")


def test_a_misspelt_name_is_told(tmp_path: Path) -> None:
    """A photograph or an archive is a file, and a name that differs only in case is named."""
    noise(1).save(tmp_path / "obama.png")
    for name, said in (
        ("OBAMA.PNG", "No such file: .*OBAMA.PNG. Is obama.png meant"),
        ("osama.png", "No such file: .*osama.png. Is it spelled right, and its disk mounted"),
        (tmp_path.name.upper(), f"No such root: .*Is {tmp_path.name} meant"),
        ("absent", "No such root: .*absent. Is its disk mounted"),
    ):
        folder = tmp_path.parent if name == tmp_path.name.upper() else tmp_path
        with pytest.raises(RootError, match=said):
            annotate_here(folder / name, tmp_path / "out")


def test_an_empty_root_among_others_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one without an image alone, and not where a pattern has left its images out."""
    for name in ("photos", "empty"):
        (tmp_path / name).mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    roots = {"roots": (tmp_path / "photos", tmp_path / "empty")}
    annotate_here(tmp_path, tmp_path / "out", **roots)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"no image found below {tmp_path / 'empty'}"
    ]
    caplog.clear()
    annotate_here(tmp_path, tmp_path / "out", walk=WalkSettings(include=("a*",)), **roots)
    assert "no image" not in caplog.text


def test_rows_that_go_by_prune_are_said_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """That --prune is not needed is said where it is not given."""
    caplog.set_level(logging.INFO)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        noise(number).save(tmp_path / "photos" / f"{number}.png")
    annotate_here(tmp_path / "photos", tmp_path / "out")
    (tmp_path / "photos" / "0.png").unlink()
    annotate_here(tmp_path / "photos", tmp_path / "out")
    assert "the rows of 1 deleted image go (--prune is not needed for that)" in caplog.text
    caplog.clear()
    (tmp_path / "photos" / "1.png").unlink()
    annotate_here(tmp_path / "photos", tmp_path / "out", prune=True)
    assert "the rows of 1 deleted image go" in caplog.text and "not needed" not in caplog.text


def test_missing_packages_are_listed_as_a_person_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """With commas, and one "and"."""
    monkeypatch.setattr("model.extras.find_spec", lambda _: None)
    for names, said in (("a", "a cannot"), ("ab", "a and b cannot"), ("abc", "a, b and c cannot")):
        with pytest.raises(TrainingError, match=f"^{said}"):
            require_training_packages(*names)


def test_tables_do_not_go_among_the_photographs_nor_work_to_nonsense(tmp_path: Path) -> None:
    """A root or a folder of it as output, and an address that is none, are wrong usage before anything starts."""
    photos = tmp_path / "photos"
    for name in ("new", "2026", "tables"):
        (photos / name).mkdir(parents=True)
    (photos / "2026" / "a.jpg").touch()
    (photos / "tables" / "images.parquet").touch()
    for output in (photos, photos / "2026"):
        with pytest.raises(UsageError, match=r"output: .* is a folder of photographs"):
            annotation_settings(photos, output=output)
    for output in (photos / "new", photos / "tables", photos / "none", tmp_path):
        assert annotation_settings(photos, output=output).output == output
    with pytest.raises(UsageError, match="cluster: expected an address such as"):
        annotation_settings(tmp_path, cluster="nonsense")
    assert annotation_settings(tmp_path, cluster="tcp://head:8786").cluster == "tcp://head:8786"


@pytest.mark.parametrize("name", ["n" * 300, "loop", "loop/within"])
def test_names_that_nothing_can_have_are_told(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is too long, or a link that leads to itself, is what a person can mend, wherever it stands."""
    monkeypatch.chdir(tmp_path)
    Path("back").symlink_to("loop")
    Path("loop").symlink_to("back")
    annotate_here(photos, Path("out"))
    for roots, options in (
        ([name], {}),
        ([photos, name], {}),
        ([photos], {"output": name}),
        ([photos], {"draw": name}),
        ([photos], {"crops": name}),
        ([photos], {"model": name}),
        ([photos], {"detector": "yunet", "detector_model": name}),
    ):
        for dry_run in (True, False) if "output" in options else (False,):
            with pytest.raises(MENDABLE, match=name):
                settings = annotation_settings(roots, **{"output": "out", **options})
                with annotation_job(settings, RunReport(), dry_run) as job:
                    job.preview() if dry_run else job.run()
    with pytest.raises(RootError, match="No such root"):
        annotate(photos, name)


def test_json_logs_have_errors_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With --log-format json the last line is an object, too, with the exit code."""
    start_logging(LogFormat.JSON)
    try:
        with pytest.raises(typer.Exit), exit_codes():
            raise RootError("No such root")
        line = json.loads(capsys.readouterr().err)
    finally:
        logging.getLogger("annotate").handlers.clear()
    assert (line["level"], line["exit"], line["message"]) == ("error", 5, "No such root")
