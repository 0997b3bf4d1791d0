"""Labels that people have put right, from the tools that they do it with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import astronaut
from handmade_tables import outcome, photograph, write_tables
from training_runs import here
from typer.testing import CliRunner

from batch.detection.crop import crop_faces
from batch.images.decode import read_photograph
from jobs.corrections.reader import are_corrections, as_tables, read_corrections
from jobs.export import app
from jobs.training.face_cuts import cut_face
from model.bundle import EMOTION_MODEL
from model.data.datasets import read_sets
from model.errors import DataError

FACES = {(30, 10, 40, 20): "joy", (90, 30, 50, 40): "fear"}
PATH = "deep/é #1.jpg"


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    """Tables of two faces in an image that EXIF turns, beside another root."""
    for name in (f"one/{PATH}", "two/none.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        image, exif = photograph((120, 160), 6)
        image.save(tmp_path / name, exif=exif)
    return write_tables(
        tmp_path / "out", outcome(tmp_path / "one", PATH, FACES), outcome(tmp_path / "two", "none.jpg", {})
    )


def exported(annotations: Path, form: str) -> Path:
    file = annotations.parent / f"{form}.json"
    assert CliRunner().invoke(app, [str(annotations), "--format", form, "-o", str(file)]).exit_code == 0
    return file


def change(file: Path, by: Callable[[dict], object]) -> Path:
    whole = json.loads(file.read_text("utf-8"))
    by(whole)
    file.write_text(json.dumps(whole), "utf-8")
    return file


def rows(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return [tuple(round(x, 6) if isinstance(x, float) else x for x in row) for row in table.itertuples(index=False)]


def expected(annotations: Path, first: str = "fear", second: str = "joy") -> list[tuple[object, ...]]:
    file = str(annotations.parent / "one" / PATH)
    return [(file, first, 90, 30, 50, 40), (file, second, 30, 10, 40, 20)]


def submit(tasks: list[dict]) -> None:
    """Do as a person does in Label Studio: submit the predictions, put one right, and submit again."""
    for task in tasks:
        (prediction,) = task.pop("predictions")
        first = {"result": prediction["result"], "was_cancelled": False, "updated_at": "2026-01-01T00:00:00Z"}
        second = json.loads(json.dumps(first)) | {"updated_at": "2026-01-02T00:00:00Z"}
        first["created_at"], second["created_at"] = "2025-12-31T00:00:00Z", "2025-12-30T00:00:00Z"
        for region in second["result"][:1]:
            region["value"]["rectanglelabels"] = ["surprise"]
        skipped = {"result": [], "was_cancelled": True, "updated_at": "2026-01-03T00:00:00Z"}
        task["annotations"] = [second, first, skipped]


def test_label_studio(annotations: Path) -> None:
    """Of each task the latest annotation that was not skipped counts, its boxes back in pixels."""
    file = change(exported(annotations, "label-studio"), submit)
    assert are_corrections(file)
    assert rows(read_corrections(file)) == expected(annotations, first="surprise")


def test_label_studio_by_the_image_alone(annotations: Path) -> None:
    """Tasks that have lost all but their image are found through the tables."""

    def forget(tasks: list[dict]) -> None:
        submit(tasks)
        for task in tasks:
            task["data"] = {"image": task["data"]["image"]}

    file = change(exported(annotations, "label-studio"), forget)
    assert rows(read_corrections(file, annotations)) == expected(annotations, first="surprise")


def test_predictions_are_no_labels(annotations: Path) -> None:
    """What the CNN said and nobody has submitted is not trained on."""
    with pytest.raises(DataError, match="submitted"):
        read_corrections(exported(annotations, "label-studio"))


def test_a_rectangle_that_was_turned_keeps_its_centre(annotations: Path) -> None:
    """Label Studio turns rectangles about their upper left corner: a quarter turn of a square moves it by its side."""

    def turn(tasks: list[dict]) -> None:
        submit(tasks)
        value = tasks[0]["annotations"][0]["result"][0]["value"]
        value.update(x=50, y=50, width=10, height=40 / 3, rotation=90)

    table = read_corrections(change(exported(annotations, "label-studio"), turn))
    assert rows(table)[0][2:] == (80 - 16, 60, 16, 16)


def test_coco(annotations: Path) -> None:
    """A COCO file's boxes come with the names of their categories, with our fields and, by the tables, without.

    A crowd is no face.
    """

    def correct(whole: dict) -> None:
        whole["annotations"][0]["category_id"] = 6
        whole["annotations"].append(whole["annotations"][0] | {"iscrowd": 1})

    file = change(exported(annotations, "coco"), correct)
    assert rows(read_corrections(file)) == expected(annotations, first="surprise")

    def forget(whole: dict) -> None:
        for image in whole["images"]:
            del image["root"], image["path"]

    change(file, forget)
    assert rows(read_corrections(file, annotations)) == expected(annotations, first="surprise")
    assert rows(read_corrections(file)) == expected(annotations, first="surprise")  # it lies beside both roots


def test_table_of_numbered_faces(annotations: Path) -> None:
    """A CSV of root, path, face and label takes the boxes from the tables; rows without a label are left out."""
    file = annotations.parent / "mine.csv"
    root = annotations.parent / "one"
    file.write_text(f"root,path,face,label\n{root},{PATH},1,happy\n{root},{PATH},0,\n{root},'{PATH},0,sad\n", "utf-8")
    assert are_corrections(file)
    first, second = expected(annotations, "sad", "happy")
    assert rows(read_corrections(file, annotations)) == [second, first]
    with pytest.raises(DataError, match="--annotations"):
        read_corrections(file)
    file.write_text(f"root,path,face,label\n{root},{PATH},7,happy\n", "utf-8")
    with pytest.raises(DataError, match="row 1 is no face of the tables"):
        read_corrections(file, annotations)


def test_table_of_boxes(annotations: Path) -> None:
    """A CSV with boxes of its own needs no tables."""
    file = annotations.parent / "mine.csv"
    root = annotations.parent / "one"
    file.write_text(f"root,path,x,y,width,height,label\n{root},{PATH},1.5,2,3,4, happy \n", "utf-8")
    assert rows(read_corrections(file)) == [(f"{root}/{PATH}", "happy", 1.5, 2, 3, 4)]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "[1]", "{}", '{"images": 1, "annotations": 2, "categories": 3}', '[{"data": {}, "annotations": [{}]}]',
     '[{"data": {"image": "s3://b/a.jpg"}, "annotations": [{"result": [{"type": "rectanglelabels", "original_width": 1,'
     '"original_height": 1, "value": {"x": 1, "y": 1, "width": 1, "height": 1, "rectanglelabels": ["joy"]}}]}]}]',
     "[" * 100_000],
)  # fmt: skip
def test_files_of_other_forms(text: str, tmp_path: Path) -> None:
    """A damaged file, or one of another tool, ends with a message that names it."""
    file = tmp_path / "labels.json"
    file.write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"labels\.json"):
        read_corrections(file)


def test_photographs_in_archives_are_refused(annotations: Path) -> None:
    """Of an archive no face can be cut out, and the message says what to do."""
    file = annotations.parent / "mine.csv"
    file.write_text("root,path,x,y,width,height,label\n/x/a.zip,b.jpg,1,2,3,4,happy\n", "utf-8")
    with pytest.raises(DataError, match="Unpack"):
        read_corrections(file)


def test_corrected_faces_are_cut_as_annotate_cuts_them(tmp_path: Path) -> None:
    """Corrections become a table beside the model, whose faces are the crops that annotate labels."""
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / "a.png")
    write_tables(tmp_path / "out", outcome(tmp_path / "photos", "a.png", {(170, 65, 110, 110): "joy"}))
    mine = tmp_path / "mine.csv"
    mine.write_text(f"root,path,face,label\n{tmp_path / 'photos'},a.png,0,surprised\n", "utf-8")
    (table,) = as_tables([mine], tmp_path / "out", tmp_path / "new", "a.")
    assert table == tmp_path / "new" / "a.mine.parquet"
    (found,) = read_sets([table], cut=cut_face)
    gray = read_photograph(tmp_path / "photos" / "a.png", 10**9, 10**5).gray
    assert found.name == "mine" and found.parts["all"].labels == ("surprise",)
    assert np.array_equal(found.parts["all"].crops, crop_faces(gray, np.array([[170, 65, 110, 110]])))
    assert as_tables([tmp_path / "photos", table], None, tmp_path) == (tmp_path / "photos", table)


def test_annotate_train_takes_corrections(annotations: Path, tmp_path: Path) -> None:
    """The loop closes: annotate, export, put right, train; here up to the preview of what would be trained on."""

    def draw_more(whole: dict) -> None:
        face = whole["annotations"][0]
        whole["annotations"] = [face | {"bbox": [7 * n, 5 * n, 40, 40], "category_id": 1 + n % 2} for n in range(12)]

    change(exported(annotations, "coco"), draw_more)
    done = here("train", "emotions", "coco.json", "-o", "mine.keras", "--preview", "preview.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 labelled faces in 1 photograph" in done.stderr and (tmp_path / "preview.png").exists()
    assert pd.read_parquet(tmp_path / "mine.coco.parquet")["label"].tolist() == ["joy", "anger"] * 6


def test_corrections_of_one_name_are_two_tables(annotations: Path, tmp_path: Path) -> None:
    """Files that are called alike keep a table each."""
    sources = [tmp_path / folder / "mine.csv" for folder in ("one", "two")]
    for source, label in zip(sources, ("joy", "fear"), strict=True):
        source.write_text(f"root,path,face,label\n{tmp_path / 'one'},{PATH},0,{label}\n", "utf-8")
    tables = as_tables(sources, annotations, tmp_path / "new")
    assert [pd.read_parquet(table)["label"].tolist() for table in tables] == [["joy"], ["fear"]]


def test_annotate_evaluate_takes_corrections(tmp_path: Path) -> None:
    """What was put right measures the model as it trains one; by which faces stays beside the figures."""
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / "a.png")
    there = outcome(tmp_path / "photos", "a.png", {(170, 65, 110, 110): "joy", (20, 300, 60, 60): "fear"})
    write_tables(tmp_path / "out", there)
    mine = tmp_path / "mine.csv"
    mine.write_text(f"root,path,face,label\n{tmp_path / 'photos'},a.png,0,happy\n", "utf-8")
    exported(tmp_path / "out", "coco")
    done = here(
        *("evaluate", EMOTION_MODEL, "coco.json", mine, "--annotations", "out", "-o", "figures/mine"), cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    sets = json.loads((tmp_path / "figures" / "mine" / "metrics.json").read_text("utf-8"))["sets"]
    assert {name: figures["images"] for name, figures in sets.items()} == {"coco": 2, "mine": 1}
    assert sets["mine"]["accuracy"] == 1
    assert pd.read_parquet(tmp_path / "figures" / "mine" / "mine.parquet")["label"].tolist() == ["happy"]


def test_names_that_are_not_utf_8_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A photograph whose name no table can hold costs itself."""
    (tmp_path / "labels.csv").write_text(
        "root,path,x,y,width,height,label\n/r,a\\xff.jpg,1,2,3,4,joy\n/r,b.jpg,1,2,3,4,joy\n"
    )
    assert rows(read_corrections(tmp_path / "labels.csv")) == [("/r/b.jpg", "joy", 1, 2, 3, 4)]
    assert "1 face left out" in caplog.text
