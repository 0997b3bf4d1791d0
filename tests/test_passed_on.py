"""What is typed reaches the work: every option of a training, and of annotate, none of them at its default."""

from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from drawn_faces import write_class_folders
from training_runs import here

from batch.settings import DetectorSettings, WorkerSettings
from jobs.options import OPTIONS, annotation_settings
from jobs.training import detector, faces
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL
from model.emotions import training as emotions

COMMON = {"--epochs": 3, "--batch-size": 5, "--learning-rate": 0.7, "--patience": 4, "--seed": 9}
FACES = {"--boxes": "b.json", "--faces": "f.csv"}
OF_EMOTIONS = {
    **{"--votes": "v.csv", "--copies": 2, "--logit-adjustment": 0.6, "--evenness": 0.2, "--votes-share": 0.4},
    **{"--weight": "data=2", "--device": "cpu", "--keep": 0.25, "--teacher": "shipped"},
}


@pytest.mark.parametrize(
    ("name", "module", "job", "options", "flags", "expected", "of_settings"),
    [
        (
            *("emotions", emotions, "train_emotions", OF_EMOTIONS, ["--progressive", "--mixed-precision"]),
            {
                **{"votes": Path("v.csv"), "votes_share": 0.4, "weights": {"data": 2.0}, "device": "cpu", "kept": 0.25},
                **{"mixed_precision": True, "start_from": EMOTION_MODEL, "teachers": (EMOTION_MODEL,)},
            },
            {"copies": 2, "logit_adjustment": 0.6, "evenness": 0.2, "progressive": True},
        ),
        (
            *("faces", faces, "train_faces", FACES | {"--jobs": 3}, []),
            {"boxes": Path("b.json"), "faces": Path("f.csv"), "jobs": 3, "start_from": FACE_MODEL},
            {"logit_adjustment": 0.0},
        ),
        (
            *("detector", detector, "train_face_detector"),
            *(FACES | {"--windows": 7, "--window-size": 96, "--device": "cpu"}, ["--mixed-precision"]),
            {
                **{"boxes": Path("b.json"), "faces": Path("f.csv"), "device": "cpu", "mixed_precision": True},
                "start_from": DETECTOR_MODEL.with_suffix(".keras"),
            },
            {"windows": 7, "window_size": 96},
        ),
    ],
)
def test_every_option_reaches_the_training(
    name: str,
    module: ModuleType,
    job: str,
    options: dict[str, Any],
    flags: list[str],
    expected: dict[str, Any],
    of_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a word of the command line, into the job or its settings."""
    jobs: list[Any] = []
    monkeypatch.setattr(module, job, lambda told, *_: jobs.append(told))
    write_class_folders(tmp_path / "data", {"joy": 5, "anger": 5})
    words = [word for pair in (options | COMMON).items() for word in pair]
    done = here("train", name, "data", *words, *flags, "--resume", "--start-from", "shipped", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (told,) = jobs
    assert {key: getattr(told, key) for key in expected} == expected
    assert told.resume
    wanted = {key.removeprefix("--").replace("-", "_"): value for key, value in COMMON.items()} | of_settings
    assert wanted.items() <= asdict(told.settings).items()


def test_every_option_reaches_the_settings(tmp_path: Path) -> None:
    """None is left out: what each is called in Python, and where it goes."""
    (tmp_path / "photos").mkdir()
    options: dict[str, Any] = {
        **{"roots": tmp_path / "photos", "output": tmp_path / "out", "csv": True, "jobs": 3, "batch_size": 9},
        **{"model": "shipped", "detector": "cnn", "detect_size": 320, "detector_model": None, "face_threshold": 0.3},
        **{"device": "cpu", "crops": tmp_path / "crops", "draw": tmp_path / "draw", "without_neutral": True},
        **{"include": "a*", "exclude": ["b", "c"], "zip_encoding": "cp1252", "follow_symlinks": True},
        **{"max_pixels": 77, "image_timeout": 11, "store_timeout": 22, "shard": "2/5", "cluster": "tcp://h:1"},
        **{"cluster_timeout": 33, "limit": 4, "retry_failed": True, "rescan": False, "prune": True, "moved": None},
    }
    assert options.keys() == set(OPTIONS)
    told = annotation_settings(**options)
    as_named = ("csv", "jobs", "batch_size", "device", "without_neutral", "cluster", "cluster_timeout", "limit")
    places = ("output", "crops", "draw", "retry_failed", "rescan", "prune")
    assert {name: getattr(told, name) for name in as_named + places} == {
        name: options[name] for name in as_named + places
    }
    assert (told.model, told.moved, told.photographs) == (EMOTION_MODEL, (), ())
    assert told.worker == WorkerSettings(
        DetectorSettings("cnn", 320, 0.3, DETECTOR_MODEL, GLANCE_MODEL), 77, 11, 22, networks=told.worker.networks
    )
    assert (told.walk.include, told.walk.exclude) == (("a*",), ("b", "c"))
    assert (told.walk.follow_symlinks, told.walk.shard, told.walk.zip_encoding) == (True, (2, 5), "cp1252")
    assert annotation_settings(tmp_path / "photos", rescan=True).rescan
