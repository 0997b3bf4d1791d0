"""An output opened in a notebook, and the notebook in docs/."""

import json
import re
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from conftest import astronaut
from handmade_tables import outcome, photograph, write_tables
from PIL import Image, ImageOps

from batch.errors import OutputError
from batch.outcome import ImageError
from jobs.annotations import open_annotations
from model.labels import EMOTIONS

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"
FACES = {(30, 10, 40, 20): "joy", (90, 30, 50, 40): "fear", (150, 100, 10, 20): "anger"}


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Tables of three faces, one of them beyond the border, in an image that EXIF turns, and of an image without."""
    (tmp_path / "photos").mkdir()
    for name, orientation in (("a.png", 6), ("b.png", 1)):
        image, exif = photograph((120, 160), orientation)
        image.save(tmp_path / "photos" / name, exif=exif)
    found = outcome(tmp_path / "photos", "a.png", FACES), outcome(tmp_path / "photos", "b.png", {})
    return write_tables(tmp_path / "out", *found)


def test_faces_come_with_what_is_known_of_their_images(output: Path) -> None:
    """Each face has its image's size, moment and number of faces; the labels are the probabilities' columns."""
    opened = open_annotations(str(output))
    assert opened.labels == EMOTIONS
    assert opened.faces[["image_width", "image_height", "faces_in_image"]].to_numpy().tolist() == [[160, 120, 3]] * 3
    assert opened.faces["taken_at"].isna().all() and len(opened.images) == 2
    assert np.allclose(opened.faces[list(opened.labels)].sum(axis=1), 1)


def test_crops_are_cut_out_of_the_upright_photograph(output: Path) -> None:
    """A crop is the square around the box, as a person sees it, in the order of the rows that are asked for."""
    opened = open_annotations(output)
    with Image.open(output.parent / "photos" / "a.png") as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    crops = opened.crops(opened.faces.iloc[[1, 0]], side=50)
    assert crops.shape == (2, 50, 50, 3)
    assert np.array_equal(crops[1], upright[25:75, 90:140])
    assert np.array_equal(opened.crops(opened.faces.iloc[:1], side=80, around=1.6)[0], upright[10:90, 75:155])
    small = opened.crops(opened.faces[opened.faces["emotion"] == "anger"], side=20)[0]
    assert np.array_equal(small[:, :15], upright[100:120, 145:160]) and not small[:, 15:].any()
    assert opened.crops(opened.faces.iloc[:0]).shape == (0, 96, 96, 3)


def test_large_jpegs_are_decoded_no_larger_than_needed(tmp_path: Path) -> None:
    """Of a JPEG that is decoded at a smaller scale the same face is cut, also beside one that is larger."""
    (tmp_path / "photos").mkdir()
    astronaut().resize((2048, 2048)).save(tmp_path / "photos" / "a.jpg")
    boxes = {(680, 260, 400, 400): "joy", (0, 0, 2048, 2048): "fear"}
    opened = open_annotations(write_tables(tmp_path / "out", outcome(tmp_path / "photos", "a.jpg", boxes)))
    expected = np.asarray(astronaut().crop((170, 65, 270, 165)).resize((48, 48), Image.Resampling.LANCZOS), float)
    alone = opened.crops(opened.faces.iloc[1:], side=48)[0]
    assert np.abs(alone - expected).mean() < 4
    assert np.array_equal(opened.crops(side=48)[1], alone)


def test_photographs_that_are_gone(output: Path) -> None:
    """A face of a photograph that is gone is an error, as is an output that is none."""
    (output.parent / "photos" / "a.png").unlink()
    with pytest.raises(ImageError, match="vanished"):
        open_annotations(output).crops()
    with pytest.raises(OutputError, match="No tables"):
        open_annotations(output.parent)


def test_what_the_notebook_imports_is_installed_by_its_first_cell() -> None:
    """Every package comes with this one, or stands in the line that installs it."""
    first, *cells = ("".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"])
    imported = set(re.findall(r"^(?:import|from) (\w+)", "\n".join(cells), re.M)) - sys.stdlib_module_names - {"jobs"}
    assert {"skimage", "duckdb"} <= imported
    told = re.search("`pip install (.*?)`", first)
    assert told
    brought = {re.split("[ <>=;]", one)[0] for one in requires("emotion-annotate") or [] if "extra" not in one}
    for name in imported:
        assert {known.lower() for known in packages_distributions()[name]} & {*brought, *told[1].split()}, name


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every cell of docs/notebook.ipynb runs, one after the other, on photographs that scikit-image ships."""
    mpl.use("Agg")
    monkeypatch.chdir(tmp_path)
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec("".join(cell["source"]), names)  # noqa: S102 - it is ours
    assert names["crops"].shape == (3, 128, 128, 3)
    assert sorted(names["annotations"].faces["path"]) == ["blurred.jpg", "dark.jpg", "sharp.jpg"]
    assert names["by_day"].sum() == 3
