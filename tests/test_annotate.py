"""The whole job, as a user runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars
import pytest
from conftest import (
    OFTEN,
    Run,
    annotate_command,
    annotate_here,
    assert_same_tables,
    astronaut,
    environment,
    noise,
    tables,
)
from PIL import ExifTags, Image
from training_runs import here

from batch.settings import DetectorSettings
from model.labels import EMOTIONS


def state(output: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file of an output."""
    return {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in output.iterdir()}


def test_folder_in_tables_out(photos: Path, tmp_path: Path, command: Run) -> None:
    """The one command that most people type gives a row per image and per face; the astronaut shows joy."""
    done = command(photos, "-o", tmp_path / "out", "--csv")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    images, faces = tables(tmp_path / "out")
    expected = {
        "astronaut.jpg": "ok",
        "deep/broken.jpg": "unreadable",
        "deep/er/coffee.webp": "no_face",
        "deep/mirrored.png": "ok",
    }
    assert dict(zip(images["path"], images["status"], strict=True)) == expected
    assert faces["path"].tolist() == ["astronaut.jpg", "deep/mirrored.png"]
    assert faces["emotion"].tolist() == ["joy", "joy"]
    assert np.allclose(faces[list(EMOTIONS)].sum(axis=1), 1, atol=1e-5)
    report = json.loads((tmp_path / "out" / "run.json").read_text())
    assert report["images_by_status"]["ok"] == 2
    assert report["device"] == "cpu"
    assert {"decode", "detect", "classify", "publish"} <= report["seconds_by_stage"].keys()
    csv = pd.read_csv(tmp_path / "out" / "faces.csv")
    assert csv["emotion"].tolist() == ["joy", "joy"]
    assert "Traceback" not in done.stderr


def test_nothing_new_touches_nothing_and_needs_no_keras(photos: Path, tmp_path: Path) -> None:
    """A second run leaves every file as it is, and imports neither networks' packages nor OpenCV."""
    output = tmp_path / "out"
    annotate_here(photos, output)
    before = state(output)
    assert modules_after("from jobs.annotate import app; app()", photos, "-o", output) == []
    assert {name: facts for name, facts in state(output).items() if name != ".lock"} == {
        name: facts for name, facts in before.items() if name != ".lock"
    }


HEAVY = "{'keras', 'tensorflow', 'cv2', 'onnxruntime'}"


def modules_after(program: str, *arguments: object, heavy: str = HEAVY) -> list[str]:
    """Which of the heavy packages a program has imported at its end."""
    probe = f"import sys\ntry:\n    {program}\nfinally: print(*sorted({heavy} & set(sys.modules)))"
    command = [sys.executable, "-c", probe, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_on_a_cpu_nobody_imports_keras(photos: Path, tmp_path: Path) -> None:
    """The leading process imports none of the networks' packages, a worker OpenCV and ONNX Runtime."""
    leading = modules_after("from jobs.annotate import app; app()", photos, "-o", tmp_path / "out", "-j", 2)
    assert (leading, len(tables(tmp_path / "out")[1])) == ([], 2)
    worker = (
        "from conftest import WORKER; from batch.outcome import ImageFile, Key;"
        "from batch.workers.worker import annotate_image;"
        "assert annotate_image(ImageFile(Key(sys.argv[1], 'astronaut.jpg'), 1, 1), WORKER).faces"
    )
    sys_path = f"sys.path.insert(0, {str(Path(__file__).parent)!r}); "
    assert modules_after(sys_path + worker, photos) == ["cv2", "onnxruntime"]


def test_with_nothing_new_pandas_is_not_imported(tmp_path: Path) -> None:
    """It takes as long as a walk through thirty thousand files, and forty megabytes."""
    noise(1).save(tmp_path / "a.png")
    annotate_here(tmp_path, tmp_path / "out")
    run, heavy = "from jobs.annotate import app; app()", "{'pandas', 'PIL', 'joblib.parallel', *" + HEAVY + "}"
    assert modules_after(run, tmp_path, "-o", tmp_path / "out", "-j", 1, "--exclude", "out", heavy=heavy) == []


def test_incremental_runs(photos: Path, tmp_path: Path) -> None:
    """New and changed photographs are annotated, rows of deleted ones go, the rest is not annotated again."""
    output = tmp_path / "out"
    annotate_here(photos, output)
    first = pd.read_parquet(output / "images.parquet").set_index("path")["annotated_at"]
    noise(1).save(photos / "new.png")
    noise(2).save(photos / "astronaut.jpg")
    (photos / "deep" / "mirrored.png").unlink()
    report = annotate_here(photos, output)
    assert report.images == 2
    images, faces = tables(output)
    assert images["path"].tolist() == ["astronaut.jpg", "deep/broken.jpg", "deep/er/coffee.webp", "new.png"]
    assert len(faces) == 0
    again = pd.read_parquet(output / "images.parquet").set_index("path")["annotated_at"]
    assert again["deep/broken.jpg"] == first["deep/broken.jpg"]
    assert again["astronaut.jpg"] > first["astronaut.jpg"]


@pytest.mark.parametrize("changes", [{"jobs": 2}, {"batch_size": 1}, {"batch_size": 7}, {"batch_size": 256}], ids=str)
def test_rows_do_not_depend_on_how_the_work_is_cut(changes: dict[str, object], photos: Path, tmp_path: Path) -> None:
    """Any number of workers and any batch size give the same rows, probabilities within 1e-5."""
    for number in range(9):
        astronaut().rotate(number, fillcolor="gray").save(photos / f"turned{number}.jpg")
    annotate_here(photos, tmp_path / "one")
    annotate_here(photos, tmp_path / "other", **changes)
    assert_same_tables(tmp_path / "one", tmp_path / "other")


def test_rows_do_not_depend_on_the_order_of_the_files(photos: Path, tmp_path: Path) -> None:
    """A copy of the folder whose files were written in another order gives the same rows."""
    copy = tmp_path / "copy"
    files = sorted((file for file in photos.rglob("*") if file.is_file()), reverse=True)
    for file in files:
        (copy / file.relative_to(photos)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy / file.relative_to(photos))
    annotate_here(photos, tmp_path / "one")
    annotate_here(copy, tmp_path / "other")
    for one, other in zip(tables(tmp_path / "one"), tables(tmp_path / "other"), strict=True):
        pd.testing.assert_frame_equal(one.drop(columns="root"), other.drop(columns="root"))


def test_orientations_of_a_photograph_agree(tmp_path: Path) -> None:
    """The eight EXIF orientations of one photograph give the same upright box and the same emotion."""
    stored = [None, *(Image.Transpose(code) for code in (0, 3, 1, 5, 2, 6, 4))]
    (tmp_path / "photos").mkdir()
    for orientation, transpose in enumerate(stored, 1):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        turned = astronaut() if transpose is None else astronaut().transpose(transpose)
        turned.save(tmp_path / "photos" / f"{orientation}.png", exif=exif)
    annotate_here(tmp_path / "photos", tmp_path / "out")
    _, faces = tables(tmp_path / "out")
    assert faces["path"].tolist() == [f"{orientation}.png" for orientation in range(1, 9)]
    assert (faces[["x", "y", "width", "height"]].nunique() == 1).all()
    assert faces["emotion"].nunique() == 1
    assert np.ptp(faces["confidence"]) < 1e-5


def test_identity_change_annotates_anew(photos: Path, tmp_path: Path) -> None:
    """Other detector settings annotate everything anew; --limit keeps the old tables until the new ones are whole."""
    output = tmp_path / "out"
    annotate_here(photos, output)
    old = pd.read_parquet(output / "images.parquet")
    other = {"worker": _worker(face_threshold=0.9)}
    assert annotate_here(photos, output, limit=3, **other).images == 3
    pd.testing.assert_frame_equal(pd.read_parquet(output / "images.parquet"), old)
    assert annotate_here(photos, output, limit=3, **other).images == 1
    assert (pd.read_parquet(output / "images.parquet")["annotated_at"] > old["annotated_at"].max()).all()


def test_a_first_run_with_a_limit_has_its_tables(photos: Path, tmp_path: Path) -> None:
    """Whoever tries a few images first gets tables of those, and the next run adds the others."""
    annotate_here(photos, tmp_path / "out", limit=2)
    assert tables(tmp_path / "out")[0]["path"].tolist() == ["astronaut.jpg", "deep/broken.jpg"]
    annotate_here(photos, tmp_path / "out")
    assert len(tables(tmp_path / "out")[0]) == 4


def test_other_roots_are_not_lost_with_another_model(photos: Path, tmp_path: Path) -> None:
    """A run with other settings that does not name all the roots of the output is refused."""
    other = tmp_path / "other"
    other.mkdir()
    noise(1).save(other / "a.png")
    output = tmp_path / "out"
    annotate_here(photos, output)
    annotate_here(other, output)
    assert set(tables(output)[0]["root"]) == {str(photos), str(other)}
    done = here("annotate", photos, "-o", output, "--face-threshold", 0.9)
    assert done.returncode == 5
    assert str(other) in done.stderr


def test_without_neutral(photos: Path, tmp_path: Path) -> None:
    """--without-neutral leaves the six universal emotions, renormalised."""
    annotate_here(photos, tmp_path / "out", without_neutral=True)
    _, faces = tables(tmp_path / "out")
    assert "neutral" not in faces
    assert np.allclose(faces[list(EMOTIONS[:-1])].sum(axis=1), 1, atol=1e-5)


def test_rescan_and_retry(photos: Path, tmp_path: Path) -> None:
    """--rescan annotates everything anew and drops what is gone; --retry-failed only the failed images."""
    output = tmp_path / "out"
    annotate_here(photos, output)
    assert annotate_here(photos, output, retry_failed=True).images == 1
    (photos / "astronaut.jpg").unlink()
    assert annotate_here(photos, output, rescan=True).images == 3
    assert "astronaut.jpg" not in tables(output)[0]["path"].tolist()


def test_strange_names_survive_the_job(tmp_path: Path) -> None:
    """Names that are not UTF-8, with new lines, emoji or dashes stand in the tables, and in the CSV too."""
    root = tmp_path / "photos"
    root.mkdir()
    for name in (b"caf\xe9.png", b"new\nline.png", "😀.png".encode(), b"-rf.png", b"=1+1.png"):
        noise(1).save(tmp_path / "plain.png")
        (tmp_path / "plain.png").rename(root / os.fsdecode(name))
    annotate_here(root, tmp_path / "out", csv=True)
    expected = ["-rf.png", "=1+1.png", "caf\\xe9.png", "new\nline.png", "😀.png"]
    assert tables(tmp_path / "out")[0]["path"].tolist() == expected
    csv = pd.read_csv(tmp_path / "out" / "images.csv")
    assert csv["path"].tolist() == ["'-rf.png", "'=1+1.png", *expected[2:]]


def test_other_programs_read_the_tables(photos: Path, tmp_path: Path) -> None:
    """DuckDB and Polars read the same files as pandas."""
    annotate_here(photos, tmp_path / "out")
    file = tmp_path / "out" / "faces.parquet"
    counted = duckdb.sql(f"select emotion, count(*) from '{file}' group by emotion").fetchall()  # noqa: S608
    assert counted == [("joy", 2)]
    assert polars.read_parquet(file)["emotion"].cast(polars.String).to_list() == ["joy", "joy"]


def test_shards_are_one_table(photos: Path, tmp_path: Path) -> None:
    """Each image is in one shard; what the shards find is together what a run over everything finds."""
    for number in range(5):
        shutil.copy(photos / "astronaut.jpg", photos / f"{number}.jpg")
    annotate_here(photos, tmp_path / "whole")
    for part in (1, 2, 3):
        done = here("annotate", photos, "-o", tmp_path / "parts" / str(part), "-j", 1, "--shard", f"{part}/3")
        assert done.returncode == 0, done.stderr
    for name in ("images", "faces"):
        parts = [pd.read_parquet(tmp_path / "parts" / str(part) / f"{name}.parquet") for part in (1, 2, 3)]
        assert all(len(part) for part in parts)
        whole = pd.read_parquet(tmp_path / "whole" / f"{name}.parquet")
        joined = pd.concat(parts).sort_values(["path"], ignore_index=True)
        assert joined["path"].tolist() == whole["path"].tolist()
        files = f"{tmp_path}/parts/*/{name}.parquet"
        counted = duckdb.sql(f"select count(*) from '{files}'").fetchall()  # noqa: S608
        assert counted == [(len(whole),)]


EXITS = {
    "no root": (2, []),
    "no such root": (5, ["nowhere"]),
    "root within a root": (2, [".", "photos"]),
    "unknown option": (2, ["photos", "--emotions"]),
    "no such shard": (2, ["photos", "--shard", "3/2"]),
    "no such model": (5, ["photos", "--model", "none.keras"]),
    "no GPU": (5, ["photos", "--device", "gpu"]),
    "unreadable image": (3, ["photos", "--strict"]),
    "output is a file": (5, ["photos", "-o", "photos/astronaut.jpg"]),
}


@pytest.mark.parametrize("case", EXITS)
def test_exit_codes(case: str, photos: Path) -> None:
    """Each kind of failure has its exit code and a message, never a traceback."""
    code, arguments = EXITS[case]
    done = here("annotate", *arguments, cwd=photos.parent)
    assert done.returncode == code, done.stderr
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_dry_run_writes_nothing(photos: Path, tmp_path: Path) -> None:
    """--dry-run says what there is to do and does not do it; what --limit leaves for later is told, too."""
    done = here("annotate", photos, "-o", tmp_path / "out", "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "4 images found, 4 new" in done.stderr
    dry = ("annotate", photos, "-o", tmp_path / "out", "--dry-run", "--log-format", "json")
    for limit, new, left_over in (((), 4, 0), (("--limit", 1), 1, 3)):
        told = here(*dry, *limit).stderr.splitlines()[-1]
        counts = {"found": 4, "new": new, "changed": 0, "deleted": 0, "left_over": left_over, "exit": 0}
        assert counts.items() <= json.loads(told).items(), told
    assert not (tmp_path / "out").exists()


def test_signals_keep_what_was_done(tmp_path: Path) -> None:
    """An interrupted or terminated run ends with its code, and the next one goes on from there."""
    root = tmp_path / "photos"
    root.mkdir()
    for number in range(150):
        astronaut().rotate(number / 10).save(root / f"{number:03d}.jpg")
    checkpoints = tmp_path / "out" / "checkpoints"
    for signum, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        before = set(checkpoints.glob("*.images.parquet"))
        command = annotate_command(root, "-o", tmp_path / "out", "--jobs", 1)
        command[2] = OFTEN + command[2]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment())
        deadline = time.monotonic() + 120
        while not set(checkpoints.glob("*.images.parquet")) - before and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signum)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
    assert len(before) > 0
    done = annotate_here(root, tmp_path / "out", jobs=2).images
    assert 0 < done < 150
    assert len(tables(tmp_path / "out")[0]) == 150


def test_log_lines_as_json(photos: Path, tmp_path: Path, command: Run) -> None:
    """--log-format json gives one object a line on stderr; --quiet gives none."""
    done = command(photos, "-o", tmp_path / "out", "--log-format", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"time", "level", "message"} <= lines[0].keys()
    assert command(photos, "-o", tmp_path / "out", "--quiet", "--rescan").stderr == ""


def test_every_photograph_has_its_row(shared_data: Path, tmp_path: Path) -> None:
    """Ordinary photographs with faces each get a row, and most of them faces."""
    annotate_here(shared_data / "photos", tmp_path / "out", jobs=2)
    images, _ = tables(tmp_path / "out")
    assert len(images) == sum(file.is_file() for file in (shared_data / "photos").rglob("*"))
    assert (images["status"] == "ok").mean() > 0.9


def test_files_that_break_readers_stop_nothing(shared_data: Path, tmp_path: Path, command: Run) -> None:
    """Files that break readers end with exit code 0, a row each and no traceback."""
    done = command(shared_data / "nasty", "-o", tmp_path / "out", "--max-pixels", 50_000_000)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    files = [file for file in (shared_data / "nasty").rglob("*") if file.is_file() and file.suffix != ".csv"]
    assert len(tables(tmp_path / "out")[0]) == len(files)


def _worker(**changes: object) -> object:
    from batch.settings import WorkerSettings

    return WorkerSettings(DetectorSettings(**changes))
