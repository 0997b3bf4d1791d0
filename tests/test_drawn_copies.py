"""Copies of photographs with boxes and labels."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, annotate_here, astronaut, tables
from PIL import Image, ImageChops

from batch.images.decode import read_picture
from batch.outcome import Box
from batch.pictures.drawn_copies import Label, draw_faces


def test_every_readable_photograph_has_a_copy(photos: Path, tmp_path: Path) -> None:
    """Copies keep names and folders, show the boxes of the table and change little else; originals stay as they are."""
    before = {file: file.read_bytes() for file in photos.rglob("*.*")}
    annotate_here(photos, tmp_path / "out", draw=tmp_path / "drawn")
    images, faces = tables(tmp_path / "out")
    readable = images[images["status"].isin(["ok", "no_face"])]["path"]
    drawn = {str(file.relative_to(tmp_path / "drawn")) for file in (tmp_path / "drawn").rglob("*.*")}
    assert drawn == set(readable)
    assert before == {file: file.read_bytes() for file in photos.rglob("*.*")}
    for face in faces.itertuples():
        original = Image.open(photos / face.path).convert("RGB")
        copy = Image.open(tmp_path / "drawn" / face.path).convert("RGB")
        assert copy.size == original.size
        changed = np.asarray(ImageChops.difference(original, copy)).max(axis=2) > 60
        assert changed[face.y : face.y + face.height, face.x - 1 : face.x + 3].any(axis=1).mean() > 0.9
        assert 0 < changed.mean() < 0.2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_copies_are_upright(orientation: int, tmp_path: Path) -> None:
    """Whatever the EXIF orientation, the picture that is drawn into is upright."""
    back = {1: (), 2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}[orientation]
    upright = astronaut().crop((0, 0, 400, 300))
    stored = upright
    for turn in back:
        stored = stored.transpose(Image.Transpose(turn))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(read_picture(tmp_path / "a.png")[0]), np.asarray(upright))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "CMYK", "I;16", "F", "LAB", "YCbCr"])
def test_every_mode_becomes_colour(mode: str, tmp_path: Path) -> None:
    """Deep, paletted, transparent and printed images become RGB that looks like the photograph."""
    gray = astronaut().convert("L")
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(gray, np.uint16) * 257)
    elif mode == "LAB":
        stored = Image.merge("LAB", (gray, Image.new("L", gray.size, 128), Image.new("L", gray.size, 128)))
    else:
        stored = astronaut().convert("L" if mode == "F" else "RGB").convert(mode)
    stored.save(tmp_path / "a.tif")
    picture, _ = read_picture(tmp_path / "a.tif")
    assert (picture.mode, picture.size) == ("RGB", gray.size)
    seen = np.asarray(picture.convert("L"), float).ravel()
    assert np.corrcoef(seen, np.asarray(gray, float).ravel())[0, 1] > (0.6 if mode == "1" else 0.95)


@pytest.mark.parametrize("size", [(80, 60), (640, 480), (6000, 4000)])
def test_labels_are_readable_and_inside(size: tuple[int, int]) -> None:
    """The label of a face in a corner lies inside the picture, and its text is at least ten pixels high."""
    picture = Image.new("RGB", size)
    width = size[0] / 4
    draw_faces(picture, [Label(Box(size[0] - width, 0, width, width), "surprise 87 %", "#ffffff")])
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) > 200)
    assert rows.min() == 0 and columns.max() == size[0] - 1
    assert rows.max() - rows.min() > 10


def test_other_formats_become_png(tmp_path: Path, command: Run) -> None:
    """A format that not every viewer shows gets .png behind its name; copies over the originals are wrong usage."""
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / "a.ppm")
    annotate_here(tmp_path / "photos", tmp_path / "out", draw=tmp_path / "drawn")
    assert Image.open(tmp_path / "drawn" / "a.ppm.png").size == (512, 512)
    for folder in (tmp_path / "photos" / "drawn", tmp_path):
        done = command(tmp_path / "photos", "-o", tmp_path / "out", "--draw", folder)
        assert (done.returncode, "lie within" in done.stderr) == (2, True)


def test_names_that_are_too_long_cost_their_pictures_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A name as long as the disk allows has its copy; one that it cannot hold, or with a crop's number, has none."""
    longest = f"{'写' * 83}ab.jpg"
    packed = f"{'d' * 300}.jpg"
    assert len(longest.encode()) == 255
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / longest)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for name in (packed, "short.jpg"):
            members.write(tmp_path / "photos" / longest, name)
    roots = (str(archive), str(tmp_path / "photos"))
    annotate_here(archive, tmp_path / "out", roots=roots, draw=tmp_path / "drawn", crops=tmp_path / "crops")
    assert list(tables(tmp_path / "out")[0]["status"]) == ["ok", "ok", "ok"]
    assert {file.name for file in (tmp_path / "drawn").rglob("*.*g")} == {longest, "short.jpg"}
    assert {file.name for file in (tmp_path / "crops").rglob("*.*g")} == {"short.jpg.0.png"}
    assert caplog.text.count("too long") == 3
