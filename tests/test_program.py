"""Streams that are closed, full or broken, a folder that is gone, and the signals: the exit code of the table."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from conftest import OFTEN, annotate_command, annotate_here, astronaut, environment, noise, tables

from batch.errors import ClusterError, OutageError, RootError, WorkersError
from jobs.annotation.run_report import RunReport
from jobs.errors import exit_codes


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two small images."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(2):
        noise(number).save(root / f"{number}.png")
    return root


@pytest.fixture
def as_before() -> Iterator[None]:
    """Have signals handled afterwards as they were."""
    old = {name: signal.getsignal(name) for name in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGINT)}
    yield
    for name, heeded in old.items():
        signal.signal(name, heeded)


def shared_memory() -> set[str]:
    """The names of what lies in shared memory."""
    return {file.name for file in Path("/dev/shm").iterdir()}  # noqa: S108 - where Linux has it


def in_shell(ending: str, *arguments: object) -> int:
    """Exit code of annotate with what a shell does to its streams."""
    line = ["sh", "-c", f'"$@" {ending}', "sh", *annotate_command(*arguments)]
    return subprocess.run(line, check=False, env=environment(), timeout=120).returncode


@pytest.mark.parametrize("ending", ["2>&-", "<&- >&- 2>&-", "2>/dev/full >/dev/full"])
def test_nobody_needs_to_hear_it(ending: str, photographs: Path, tmp_path: Path) -> None:
    """With stderr closed or full everything is done, and the exit code is that of the run."""
    output = tmp_path / "out"
    assert in_shell(ending, photographs, "-o", output, "-j", 1) == 0
    assert len(tables(output)[0]) == 2
    assert in_shell(ending, tmp_path / "missing", "-o", output) == 5
    assert in_shell(ending, "--no-such-option") == 2


def test_a_pipe_that_nobody_reads_ends_no_run(photographs: Path, tmp_path: Path) -> None:
    """Whoever reads the log may go away."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as broken:
        line = annotate_command(photographs, "-o", tmp_path / "out", "-j", 1)
        assert subprocess.run(line, check=False, env=environment(), stderr=broken, stdout=broken).returncode == 0
    assert len(tables(tmp_path / "out")[0]) == 2


def test_a_working_directory_that_is_gone_is_told(photographs: Path, tmp_path: Path) -> None:
    """A folder that somebody has deleted meanwhile is exit code 5 with the way out."""
    gone = tmp_path / "gone"
    gone.mkdir()
    line = ["sh", "-c", 'cd "$0"; rmdir "$0"; "$@"', str(gone), *annotate_command(photographs, "-o", "out")]
    ended = subprocess.run(line, check=False, env=environment(), capture_output=True, text=True)
    assert ended.returncode == 5
    assert ended.stderr == "error: The working directory is gone. Change to one that is there (cd).\n"


def test_files_of_the_working_directory_are_no_modules(photographs: Path, tmp_path: Path) -> None:
    """A stranger's folder may hold Python: neither it nor what it is called like has a part in a run within it."""
    folder = tmp_path / "shared"
    photographs.rename(folder)
    for module in ("random", "secrets", "signal", "numpy", "json", "warnings"):
        (folder / f"{module}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'a').write('{module} ')")
    program = Path(sys.executable).with_name("annotate")
    line = [program, ".", "-o", tmp_path / "out", "-j", "2", "--draw", tmp_path / "drawn"]
    ended = subprocess.run(line, check=False, env=environment(), cwd=folder, capture_output=True, text=True)
    assert (ended.returncode, (tmp_path / "run").exists()) == (0, False), ended.stderr
    assert len(tables(tmp_path / "out")[0]) == 2


def test_a_locale_that_misreads_names_is_told(photographs: Path, tmp_path: Path) -> None:
    """Its tables would have other paths than those of all other runs."""
    program = annotate_command(photographs, "-o", tmp_path / "out")
    ascii_alone = {"PYTHONUTF8": "0", "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    ended = subprocess.run(program, check=False, env=environment() | ascii_alone, capture_output=True, text=True)
    assert ended.returncode == 5
    assert ended.stderr == (
        "error: This locale reads the names of files as ascii. Set LC_ALL=C.UTF-8, or PYTHONUTF8=1.\n"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGTERM"])
def test_signals_end_a_run_in_order(name: str, photographs: Path, tmp_path: Path) -> None:
    """What is done is kept, the exit code is the signal's, and neither processes nor shared memory are left."""
    noise(1, 300).save(photographs / "more.jpg")
    for number in range(4000):  # more than are ever done
        (photographs / f"more {number}.jpg").hardlink_to(photographs / "more.jpg")
    before = shared_memory()
    line = annotate_command(photographs, "-o", tmp_path / "out", "-j", 2, "--draw", tmp_path / "drawn")
    line[2] = OFTEN + line[2]  # and so the first checkpoint comes long before the end
    heeded = signal.signal(getattr(signal, name), signal.SIG_DFL)  # the tests themselves may run under nohup
    run = subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(getattr(signal, name), heeded)
    patience = time.monotonic() + 120
    while not (tmp_path / "out" / "checkpoints").exists() and time.monotonic() < patience:
        time.sleep(0.05)
    run.send_signal(getattr(signal, name))
    _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + getattr(signal, name)
    assert "what was done is kept" in said and "Traceback" not in said
    assert shared_memory() <= before
    patience = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):  # workers look every second whether the driver is there
        while time.monotonic() < patience:
            os.killpg(run.pid, 0)
            time.sleep(0.05)


def test_a_run_that_is_stopped_for_a_while_goes_on(photographs: Path, tmp_path: Path) -> None:
    """Suspended for longer than an image may take, its workers with it, no image pays for that."""
    astronaut().save(photographs / "more.jpg")
    for number in range(60):
        (photographs / f"more {number}.jpg").hardlink_to(photographs / "more.jpg")
    line = annotate_command(photographs, "-o", tmp_path / "out", "-j", 2, "--image-timeout", 2)
    line[2] = OFTEN + line[2]
    run = subprocess.Popen(line, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True)
    patience = time.monotonic() + 120
    while not list((tmp_path / "out").glob("checkpoints/*")) and time.monotonic() < patience:
        time.sleep(0.05)
    os.killpg(run.pid, signal.SIGSTOP)
    assert run.poll() is None
    time.sleep(4)
    os.killpg(run.pid, signal.SIGCONT)
    _, said = run.communicate(timeout=120)
    assert run.returncode == 0, said
    images, _ = tables(tmp_path / "out")
    assert "crashed" not in set(images["status"]), said


def test_nobody_draws_for_a_killed_run(photographs: Path, tmp_path: Path) -> None:
    """The processes that draw end with their driver, and hold none of its streams any longer."""
    astronaut().resize((2000, 2000)).save(photographs / "more.jpg")
    for number in range(60):
        (photographs / f"more {number}.jpg").hardlink_to(photographs / "more.jpg")
    line = annotate_command(photographs, "-o", tmp_path / "out", "-j", 2, "--draw", tmp_path / "drawn")
    run = subprocess.Popen(line, env=environment(), start_new_session=True)
    patience = time.monotonic() + 120
    while not list((tmp_path / "drawn").glob("*.jpg")) and time.monotonic() < patience:
        time.sleep(0.05)
    run.kill()
    assert run.wait() == -signal.SIGKILL
    patience = time.monotonic() + 10
    with pytest.raises(ProcessLookupError):
        while time.monotonic() < patience:
            os.killpg(run.pid, 0)
            time.sleep(0.05)


def test_nohup_is_heeded(photographs: Path, tmp_path: Path) -> None:
    """Who has asked for hang-ups to be ignored gets that."""
    old = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with exit_codes():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, old)


def test_few_open_files_are_told(photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no worker can be started for want of open files, that is said, and no image has a row for it."""

    def refused() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "pipe", refused)
    monkeypatch.setattr("batch.workers.pool._STORM", 3)  # tries, with pauses that grow
    with pytest.raises(WorkersError, match="Too many open files"):
        annotate_here(photographs, tmp_path / "out", jobs=2)
    assert not (tmp_path / "out" / "images.parquet").exists()


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (OSError(errno.EIO, "Input/output error", "/o/x"), 5),
        (OSError(errno.ENOSPC, "No space left on device"), 5),
        (MemoryError(), 5),
        (ImportError("x.so: failed to map segment from shared object"), 5),
        (ImportError("No module named 'x'"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "/o/x"), None),
        (KeyError("x"), None),
    ],
)
def test_what_the_system_refuses_is_no_defect(raised: Exception, code: int | None) -> None:
    """A disk's error is exit code 5 wherever it comes up; what may be a defect of ours keeps its traceback."""
    with pytest.raises(typer.Exit if code else type(raised)) as ended, exit_codes():
        raise raised
    assert getattr(ended.value, "exit_code", None) == code


@pytest.mark.parametrize("error", [RootError, OutageError, ClusterError])
def test_errors_of_every_kind_have_their_exit_code(error: type[Exception], capsys: pytest.CaptureFixture[str]) -> None:
    """A kind of RootError, such as a store that does not answer, is no defect of ours, either."""
    with pytest.raises(typer.Exit) as ended, exit_codes():
        raise error("no answer")
    assert ended.value.exit_code == 5
    assert capsys.readouterr().err == "error: no answer\n"


_USER = str(60_000 + os.getpid() % 5_000)
"""Somebody without processes, whom a limit on them binds; root is bound by none."""
_AS_SOMEBODY = (
    *("setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups"),
    *("--inh-caps=+dac_override,+dac_read_search", "--ambient-caps=+dac_override,+dac_read_search"),
)

as_somebody = pytest.mark.skipif(
    not shutil.which("setpriv") or subprocess.run([*_AS_SOMEBODY, "true"], check=False, capture_output=True).returncode,
    reason="needs root with its capabilities, to start as somebody else",
)


@as_somebody
@pytest.mark.parametrize("processes", [3, 4, 6, 8])
def test_a_limit_on_processes_is_told(processes: int, photographs: Path, tmp_path: Path) -> None:
    """Where the system starts no more processes, or threads, a run ends with exit code 5 and the limit's name."""
    line = ["prlimit", f"--nproc={processes}", *annotate_command(photographs, "-o", tmp_path / "out", "-j", 1)]
    run = subprocess.run(
        [*_AS_SOMEBODY, *line], capture_output=True, text=True, check=False, env=environment(), timeout=120
    )
    assert (run.returncode, "ulimit" in run.stderr, "Traceback" in run.stderr) == (5, True, False), run.stderr


@as_somebody
def test_an_image_that_nobody_can_watch_over_is_tried_again(photographs: Path) -> None:
    """Where no thread can be started that keeps its time, an image gets no row: the next try may go well."""
    program = """
import multiprocessing, resource, sys, threading
from conftest import WORKER, annotate_chunk
from batch.outcome import ImageFile, Key, Setback
found = ImageFile(Key(sys.argv[1], "0.png"), 1, 1)
annotate_chunk([found], WORKER)
multiprocessing.current_process().name = "a worker"
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
[result] = annotate_chunk([found], WORKER)
assert isinstance(result, Setback) and "no more threads" in result.reason, result
"""
    line = [*_AS_SOMEBODY, sys.executable, "-c", program, str(photographs)]
    run = subprocess.run(
        line, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, env=environment(), timeout=120
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.usefixtures("as_before")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_that_comes_where_nothing_can_be_raised_is_heeded(
    number: int, code: int, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a finalizer Python drops the exception; the run ends all the same with its next image."""

    class Deaf:
        def __del__(self) -> None:
            signal.raise_signal(number)

    first = [Deaf()]
    monkeypatch.setattr(RunReport, "show", lambda *_: first.clear())
    with pytest.raises(typer.Exit) as ended, exit_codes():
        annotate_here(photographs, tmp_path / "out")
    assert ended.value.exit_code == code


@pytest.mark.usefixtures("as_before")
@pytest.mark.parametrize(
    ("number", "code", "said"), [(signal.SIGTERM, 143, "terminated"), (signal.SIGINT, 130, "interrupted")]
)
def test_signals_in_a_row_are_one(number: int, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is kept of the work is kept although a person, or a shutdown, sends the signal again."""
    kept = []
    with pytest.raises(typer.Exit) as ended, exit_codes():
        try:
            signal.raise_signal(number)
        finally:
            for _ in range(3):
                signal.raise_signal(number)
            kept.append("all")
    assert (kept, ended.value.exit_code) == (["all"], code)
    assert f"{said}: what was done is kept" in capsys.readouterr().err
