"""COCO, Label Studio and JSON Lines, as the tools read them that they are for."""

import contextlib
import io
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import duckdb
import numpy as np
import pandas as pd
import pytest
import typer
from handmade_tables import outcome, photograph, write_tables
from pycocotools.coco import COCO
from typer.testing import CliRunner

from batch.outcome import ImageFile, Key, Outcome, Status
from jobs import report
from jobs.export import app
from model.labels import EMOTIONS

SURE, UNSURE = {(90, 30, 50, 40): "fear"}, {(30, 10, 40, 20): "joy"}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Tables of two roots: two faces in an image that EXIF turns, none and one in others, and one that is broken."""
    for name, orientation in (("one/deep/é #1.jpg", 6), ("two/none.jpg", 1), ("two/one.jpg", 1)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        image, exif = photograph((120, 160), orientation)
        image.save(tmp_path / name, exif=exif)
    broken = Outcome(ImageFile(Key(str(tmp_path / "two"), "broken.jpg"), 1, 1), Status.UNREADABLE, "cut off")
    sure, unsure = (outcome(tmp_path / "one", "deep/é #1.jpg", *one) for one in ((SURE, 0.9), (UNSURE, 0.5)))
    both = replace(sure, faces=(*sure.faces, replace(unsure.faces[0], score=0.7)))
    none, one = outcome(tmp_path / "two", "none.jpg", {}), outcome(tmp_path / "two", "one.jpg", UNSURE, 0.8765432)
    return write_tables(tmp_path / "out", both, none, one, broken)


def export(annotations: Path, form: str, *more: object) -> Path:
    file = annotations.parent / form
    done = CliRunner().invoke(app, [str(annotations), "--format", form, "-o", str(file), *map(str, more)])
    assert (done.exit_code, "4 images: " in done.output) == (0, True), done.output
    return file


def test_coco_is_read_by_pycocotools(annotations: Path) -> None:
    """COCO's own API reads images, boxes and categories, and takes the faces as results with their scores."""
    file = export(annotations, "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(file)
        results = coco.loadRes(json.loads(file.read_text("utf-8"))["annotations"])
    assert [x["name"] for x in coco.loadCats(coco.getCatIds())] == list(EMOTIONS)
    faces, none, _ = coco.loadImgs(coco.getImgIds())
    assert (faces["file_name"], faces["width"], faces["height"]) == ("one/deep/é #1.jpg", 160, 120)
    assert none["file_name"] == "two/none.jpg" and not coco.getAnnIds(none["id"])
    found = coco.loadAnns(coco.getAnnIds(faces["id"], coco.getCatIds(["fear"])))
    assert [(x["bbox"], x["area"], x["score"]) for x in found] == [([90, 30, 50, 40], 2000, 0.9)]
    every = coco.loadAnns(coco.getAnnIds())
    scores = [(x["face"], x["score"], x["face_score"]) for x in every]
    assert scores == [(0, 0.9, 0.99), (1, 0.5, 0.7), (0, 0.876543, 0.99)]
    assert len(results.getAnnIds()) == 3


CONFIG = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="emotion" toName="image">'
    + "".join(f'<Label value="{label}"/>' for label in EMOTIONS)
    + "</RectangleLabels></View>"
)


def test_label_studio_gets_percent_of_the_upright_image(annotations: Path) -> None:
    """A task has its image below Label Studio's document root, and a rectangle per face in percent, with its score."""
    faces, none, _ = json.loads(export(annotations, "label-studio").read_text("utf-8"))
    assert parse_qs(urlsplit(faces["data"]["image"]).query)["d"] == ["one/deep/é #1.jpg"]
    (prediction,) = faces["predictions"]
    largest = prediction["result"][0]
    value = {"x": 56.25, "y": 25, "width": 31.25, "height": 100 / 3, "rotation": 0, "rectanglelabels": ["fear"]}
    assert largest["value"] == value
    assert (largest["original_width"], largest["original_height"], largest["score"]) == (160, 120, 0.9)
    assert len({x["id"] for x in prediction["result"]}) == 2 and prediction["score"] == 0.5
    assert (none["predictions"][0]["result"], none["predictions"][0]["score"]) == ([], 1)


def test_label_studio_accepts_the_predictions(annotations: Path, tmp_path: Path) -> None:
    """Label Studio's own SDK finds nothing wrong with them, and its converter makes the same boxes of them."""
    pytest.importorskip("label_studio_sdk", reason="no label-studio-sdk (it wants an older OpenCV than annotate)")
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    tasks = json.loads(export(annotations, "label-studio").read_text("utf-8"))
    interface = LabelInterface(CONFIG)
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        for prediction in task["predictions"]:
            assert interface.validate_prediction(prediction)
    accepted = [
        {"id": n, "data": x["data"], "annotations": [dict(x["predictions"][0], id=n)]} for n, x in enumerate(tasks)
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(accepted))
    Converter(CONFIG, str(tmp_path), download_resources=False).convert_to_coco(
        str(tmp_path / "tasks.json"), str(tmp_path / "converted"), is_dir=False
    )
    converted = json.loads((tmp_path / "converted" / "result.json").read_text("utf-8"))
    ours = json.loads(export(annotations, "coco").read_text("utf-8"))
    np.testing.assert_allclose(*([x["bbox"] for x in one["annotations"]] for one in (converted, ours)))


def test_json_lines_hold_everything(annotations: Path) -> None:
    """A line per image, also of those that could not be read, with all columns of both tables; DuckDB reads it."""
    file = export(annotations, "jsonl")
    lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    images, faces = (pd.read_parquet(annotations / f"{name}.parquet") for name in ("images", "faces"))
    assert [line["path"] for line in lines] == images["path"].tolist()
    assert set(lines[0]) == set(images.columns)
    assert set(lines[0]["faces"][0]) == set(faces.columns) - {"root", "path"}
    assert [face["confidence"] for line in lines for face in line["faces"]] == [0.9, 0.5, 0.876543]
    assert lines[1]["width"] is None
    query = "select path, face.emotion from (select path, unnest(faces) face from read_json(?))"
    expected = [("deep/é #1.jpg", "fear"), ("deep/é #1.jpg", "joy"), ("one.jpg", "joy")]
    assert duckdb.execute(query, [str(file)]).fetchall() == expected


def test_min_confidence(annotations: Path) -> None:
    """Faces with less confidence are left out, those with as much and all images stay."""
    for least, faces in ((0.5, 3), (0.51, 2), (0.95, 0)):
        whole: dict[str, Any] = json.loads(export(annotations, "coco", "--min-confidence", least).read_text("utf-8"))
        assert (len(whole["images"]), len(whole["annotations"])) == (3, faces)


@pytest.mark.parametrize("command", [(app, "--format", "coco"), (report.app,)], ids=["export", "report"])
def test_what_is_no_file_of_ours_is_not_replaced(command: tuple[typer.Typer, str], annotations: Path) -> None:
    """A pipe, also behind a link, a folder, a photograph, a table stay; of a link to a file the file is written."""
    program, *form = command
    folder = annotations.parent
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("pipe")
    shutil.copy(folder / "two" / "none.jpg", folder / "photograph")
    (annotations / "run.json").write_text("{}")
    files = [
        folder / "two" / "none.jpg",
        folder / "photograph",
        annotations / "faces.parquet",
        annotations / "run.json",
    ]
    before = [file.read_bytes() for file in files]
    for place in (folder / "pipe", folder / "link", folder / "two", *files):
        done = CliRunner().invoke(program, [str(annotations), *form, "-o", str(place)])
        assert (done.exit_code, place.name in done.output) == (5, True), done.output
    assert (folder / "pipe").is_fifo() and (folder / "link").is_symlink()
    assert [file.read_bytes() for file in files] == before
    (folder / "page").touch()
    (folder / "to page").symlink_to("page")
    for _ in range(2):
        done = CliRunner().invoke(program, [str(annotations), *form, "-o", str(folder / "to page")])
        assert done.exit_code == 0, done.output
    assert (folder / "to page").is_symlink() and (folder / "page").stat().st_size > 0


def test_no_tables_is_an_error(tmp_path: Path) -> None:
    """A folder without tables ends with exit code 5 and writes nothing."""
    done = CliRunner().invoke(app, [str(tmp_path), "--format", "coco", "-o", str(tmp_path / "coco.json")])
    assert done.exit_code == 5 and not (tmp_path / "coco.json").exists()
