"""The tables keep what docs/schema.md promises, in every version and in every shard."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dask.dataframe as dd
import duckdb
import jsonschema
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from conftest import Run, astronaut
from handmade_tables import IDENTITY, QUALITY, outcome, photograph, write_tables
from typer.testing import CliRunner

from batch.errors import OutputError
from batch.outcome import Box, Face, ImageFile, Key, Outcome, Quality, Status
from batch.tables.schema import IMAGES, SCHEMA_VERSION, face_rows, faces_schema, image_rows
from batch.tables.snapshot import read_annotations, read_snapshot
from jobs.export import app
from model.labels import EMOTIONS

DOCS = Path(__file__).parents[1] / "docs"
BOX = (30, 10, 40, 20)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Outputs in one folder, with different emotions and statuses in each: one without a face, one without any row."""
    (tmp_path / "photos").mkdir()
    for name in "abcd":
        image, exif = photograph((160, 120))
        image.save(tmp_path / "photos" / f"{name}.jpg", exif=exif)
    broken = Outcome(ImageFile(Key(str(tmp_path / "photos"), "broken.jpg"), 1, 1), Status.UNREADABLE, "cut off")
    faces = [{}, {BOX: "joy", (90, 30, 40, 40): "fear"}, {BOX: "anger"}, {BOX: "fear"}]
    for name, emotions in zip("abcd", faces, strict=True):
        there = outcome(tmp_path / "photos", f"{name}.jpg", emotions)
        (tmp_path / "out").mkdir(exist_ok=True)
        write_tables(tmp_path / "out" / name, *((there, broken) if name == "b" else (there,)))
    write_tables(tmp_path / "out" / "e")
    return tmp_path / "out"


def test_shards_are_one_table_to_pyarrow(shards: Path) -> None:
    """group_by and join work over the tables of several outputs, also where some have no rows."""
    faces = ds.dataset(sorted(map(str, shards.glob("*/faces.parquet")))).to_table()
    images = ds.dataset(sorted(map(str, shards.glob("*/images.parquet")))).to_table()
    counted = faces.group_by("emotion").aggregate([([], "count_all")]).to_pylist()
    assert {x["emotion"]: x["count_all"] for x in counted} == {"fear": 2, "joy": 1, "anger": 1}
    statuses = images.group_by("status").aggregate([([], "count_all")]).to_pylist()
    assert {x["status"]: x["count_all"] for x in statuses} == {"ok": 3, "no_face": 1, "unreadable": 1}
    joined = faces.join(images.select(["root", "path", "status"]), ["root", "path"])
    assert joined["status"].to_pylist() == ["ok"] * 4


def test_shards_are_one_table_to_dask(shards: Path, tmp_path: Path) -> None:
    """Dask counts over the tables of several outputs, and writes them again as they are."""
    for table, column in (("faces", "emotion"), ("images", "status")):
        whole = dd.read_parquet(f"{shards}/*/{table}.parquet")
        counts = whole.groupby(column).size().compute().to_dict()
        whole.to_parquet(tmp_path / table)
        assert pd.read_parquet(tmp_path / table)[column].value_counts().to_dict() == counts
    assert counts == {"ok": 3, "no_face": 1, "unreadable": 1}


def test_repeated_texts_take_no_room(shards: Path) -> None:
    """Inside the files the texts of few values stand in a dictionary."""
    for table, columns in (("faces", {"root", "emotion"}), ("images", {"root", "status", "error"})):
        group = pq.read_metadata(shards / "b" / f"{table}.parquet").row_group(0)
        of_columns = map(group.column, range(group.num_columns))
        assert {one.path_in_schema for one in of_columns if "RLE_DICTIONARY" in one.encodings} == columns


def test_columns_stand_in_the_documentation() -> None:
    """docs/schema.md names the version and the columns of both tables, in their order."""
    text = (DOCS / "schema.md").read_text("utf-8")
    assert f"Schema version {SCHEMA_VERSION}." in text
    faces, images = (part.split("\n\n## ", 1)[0] for part in re.split(r"## `(?:faces|images)\.parquet`", text)[1:])
    for part, schema in ((faces, faces_schema(EMOTIONS)), (images, IMAGES)):
        cells = [line.split("|")[1] for line in part.splitlines() if line.startswith("| ") and "column" not in line]
        named = [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]
        assert named == [name for name in schema.names if name not in EMOTIONS[1:-1]]


@pytest.mark.parametrize(
    ("box", "pixels"),
    [
        ((10.4, 20.4, 30.4, 30.4), (10, 20, 30, 30)),
        ((70, 60, 40, 40), (70, 60, 30, 20)),
        ((-5, -7, 20, 20), (0, 0, 15, 13)),
        ((99.7, 85, 5, 5), (99, 79, 1, 1)),
    ],
)
def test_boxes_are_whole_pixels_within_the_image(box: tuple[float, ...], pixels: tuple[int, ...]) -> None:
    """Corner and sides are rounded each for itself, and cut off at the borders of 100 x 80 pixels, one being left."""
    face = Face(Box(*box), 0.9, np.array([1.0]), QUALITY)
    image = Outcome(ImageFile(Key("/r", "a"), 1, 1), Status.OK, width=100, height=80, faces=(face,))
    [row] = face_rows([image], ("joy",)).to_pylist()
    assert tuple(row[name] for name in ("x", "y", "width", "height")) == pixels


@pytest.mark.parametrize("size", [(64, 2**31), (2**31, 64), (64, 2**31 - 1)])
def test_a_side_that_no_column_holds_is_none(size: tuple[int, int]) -> None:
    """A damaged header may say any: beyond 32 bits the row has neither width nor height."""
    huge = Outcome(ImageFile(Key("/r", "a"), 1, 1), Status.TOO_LARGE, "too large", *size)
    [row] = image_rows([huge]).to_pylist()
    assert (row["width"], row["height"]) == (size if max(size) < 2**31 else (None, None))


VERSION_1 = {
    "images": pa.schema(
        {
            "root": pa.string(),
            "path": pa.string(),
            "status": pa.dictionary(pa.int32(), pa.string()),
            "error": pa.string(),
            "width": pa.int32(),
            "height": pa.int32(),
            "faces": pa.int16(),
            "taken_at": pa.timestamp("s"),
            "size_bytes": pa.int64(),
            "modified_ns": pa.int64(),
            "annotated_at": pa.timestamp("us", tz="UTC"),
        }
    ),
    "faces": pa.schema(
        {
            "root": pa.string(),
            "path": pa.string(),
            "face": pa.int16(),
            **dict.fromkeys(("x", "y", "width", "height"), pa.int32()),
            "face_score": pa.float32(),
            "emotion": pa.dictionary(pa.int32(), pa.string()),
            "confidence": pa.float32(),
            **dict.fromkeys(EMOTIONS, pa.float32()),
        }
    ),
}
"""The first version, as it was; never to be changed."""


def write_version_1(output: Path, root: Path) -> None:
    key = {"root": str(root), "path": "a.jpg"}
    image = {**key, "status": "ok", "width": 512, "height": 512, "faces": 1, "size_bytes": 1, "modified_ns": 1}
    box = {"face": 0, "x": 200, "y": 60, "width": 80, "height": 80, "face_score": 0.9}
    face = {**key, **box, "emotion": "joy", "confidence": 0.9, **dict.fromkeys(EMOTIONS, 0.0), "joy": 1.0}
    identity = json.dumps({"schema": 1, "model": "abc", "labels": EMOTIONS})
    output.mkdir()
    for name, row in (("images", image | {"annotated_at": datetime.now(UTC)}), ("faces", face)):
        table = pa.Table.from_pylist([dict.fromkeys(VERSION_1[name].names) | row], VERSION_1[name])
        facts = {"identity": identity, "generation": "3"}
        pq.write_table(table.replace_schema_metadata(facts), output / f"{name}.parquet")


def test_tables_of_the_first_version_are_read(tmp_path: Path) -> None:
    """What reads tables reads those that version 1 wrote, too."""
    write_version_1(tmp_path / "out", tmp_path)
    faces, images = read_annotations(tmp_path / "out")
    assert (faces["emotion"].tolist(), images["status"].tolist()) == (["joy"], ["ok"])
    assert read_snapshot(tmp_path / "out").generation == 3
    done = CliRunner().invoke(app, [str(tmp_path / "out"), "--format", "jsonl", "-o", str(tmp_path / "all.jsonl")])
    assert done.exit_code == 0
    assert json.loads((tmp_path / "all.jsonl").read_text())["faces"][0]["emotion"] == "joy"


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1, None, "1"])
def test_tables_of_an_unknown_version_are_refused(version: object, tmp_path: Path) -> None:
    """Tables of a later version end with what to do, and stay as they are."""
    write_version_1(tmp_path / "out", tmp_path)
    for file in (tmp_path / "out").iterdir():
        identity = json.dumps({**IDENTITY, "schema": version})
        pq.write_table(pq.read_table(file).replace_schema_metadata({"identity": identity, "generation": "3"}), file)
    with pytest.raises(OutputError, match="Use the version of emotion-annotate that wrote it"):
        read_snapshot(tmp_path / "out")


def test_run_and_log_are_as_their_schemas_say(command: Run, tmp_path: Path) -> None:
    """run.json and every log line of a real run, over tables of version 1, are valid; the new tables are whole."""
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"no image")
    write_version_1(tmp_path / "out", tmp_path / "photos")
    done = command(tmp_path / "photos", "-o", tmp_path / "out", "-j", 1, "--log-format", "json")
    assert done.returncode == 0, done.stderr
    line = json.loads((DOCS / "log.schema.json").read_text("utf-8"))
    lines = [json.loads(text) for text in done.stderr.splitlines()]
    assert lines
    for one in lines:
        jsonschema.validate(one, line)
        assert set(one) <= set(line["properties"])
    run = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    jsonschema.validate(run, json.loads((DOCS / "run.schema.json").read_text("utf-8")))
    assert set(run) == set(json.loads((DOCS / "run.schema.json").read_text("utf-8"))["properties"])
    assert read_snapshot(tmp_path / "out").identity == run["identity"]
    assert run["identity"]["schema"] == SCHEMA_VERSION and run["rows"] == {"images": 2, "faces": 1}


def test_the_sharpest_smiling_group_photograph_of_each_day(tmp_path: Path) -> None:
    """README's query over both tables finds it, and leaves out those where one does not smile or is cut off."""
    (tmp_path / "photos").mkdir()
    group = {(30, 30, 30, 30): "joy", (60, 30, 30, 30): "joy", (90, 30, 30, 30): "joy"}
    shots = {
        "blurred.jpg": (group, 0.4),
        "sharp.jpg": (group, 0.6),
        "sad.jpg": ({**group, (120, 60, 30, 30): "sadness"}, 0.9),
        "cut.jpg": ({**group, (0, 60, 30, 30): "joy"}, 0.9),
        "alone.jpg": ({(30, 30, 30, 30): "joy"}, 0.9),
    }
    outcomes = []
    for name, (faces, sharpness) in shots.items():
        image, exif = photograph((160, 120))
        image.save(tmp_path / "photos" / name, exif=exif)
        there = outcome(tmp_path / "photos", name, faces, quality=Quality(sharpness, 0.5, 0.25))
        outcomes.append(replace(there, taken_at=datetime(2024, 5, 1, 10)))
    write_tables(tmp_path / "out", *outcomes)
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    (query,) = re.findall(r"```sql\n(.*?)```", readme, re.DOTALL)
    rows = duckdb.sql(query.replace("annotations/", f"{tmp_path}/out/")).fetchall()
    assert [(str(day), path) for day, path in rows] == [("2024-05-01", "sharp.jpg")]
