"""Copies of photographs with boxes and labels."""

import os
import shutil
import signal
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, annotate_here, astronaut, tables
from PIL import Image, ImageChops

from batch.errors import OutputError
from batch.images.decode import read_picture
from batch.outcome import Box, Key
from batch.pictures.annotated import AnnotatedFace, AnnotatedImage, annotated_images, write_pictures
from batch.pictures.drawn_copies import DrawnCopies, _measured, draw_faces
from batch.pictures.labels import Area, Label, place_labels
from batch.pictures.palette import colour_of, ink_on
from batch.tables.files import NoPicture, write_picture
from model.labels import EMOTIONS


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
        changed = np.asarray(ImageChops.difference(original, copy)).max(axis=2) > 40  # on skin, too
        right, below = face.x + face.width, face.y + face.height
        for edge in (face.x, right):
            assert changed[face.y : below, edge - 2 : edge + 3].any(axis=1).mean() > 0.9
        for edge in (face.y, below):
            assert changed[edge - 2 : edge + 3, face.x : right].any(axis=0).mean() > 0.9
        assert changed.mean() < 0.05


class Deadly(DrawnCopies):
    """Stands in for what a drawing may meet: its worker is killed each time at one image, and once at another."""

    def __init__(self, folder: Path, parent: Path, labels: Sequence[str]) -> None:
        super().__init__(folder, parent, tuple(labels))
        self.once = parent.parent / "killed once"

    def write(self, image: AnnotatedImage) -> None:
        """Die, or draw."""
        if image.key.path == "deep/mirrored.png":
            os.kill(os.getpid(), signal.SIGKILL)
        if image.key.path == "astronaut.jpg" and not self.once.exists():
            self.once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        super().write(image)


def test_a_killed_worker_costs_the_picture_at_most(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The image that kills its workers is named and has no copy; all others have one."""
    annotate_here(photos, tmp_path / "out")
    images = annotated_images(tmp_path / "out", EMOTIONS)
    assert len(list(write_pictures([Deadly(tmp_path / "drawn", photos, EMOTIONS)], images, 2))) == 3
    assert {file.name for file in (tmp_path / "drawn").rglob("*.*")} == {"astronaut.jpg", "coffee.webp"}
    (said,) = caplog.messages
    assert said.startswith(f"no picture of {photos}/deep/mirrored.png: ")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
def test_a_copy_replaces_copies_alone(suffix: str, photos: Path, tmp_path: Path) -> None:
    """A photograph of the same name, as in a backup, stays, and so does a file in the place of the folder."""
    for file in photos.rglob("*.*"):
        file.unlink()
    astronaut().save(photos / f"a.{suffix}")
    backup = Path(shutil.copytree(photos, tmp_path / "backup")) / f"a.{suffix}"
    os.utime(backup, (0, 0))
    before = backup.read_bytes()
    for draw in (tmp_path / "backup", tmp_path / "backup" / f"a.{suffix}"):
        with pytest.raises(OutputError, match=r"backup"):
            annotate_here(photos, tmp_path / "out", draw=draw)
    assert backup.read_bytes() == before
    copy = tmp_path / "drawn" / f"a.{suffix}"
    annotate_here(photos, tmp_path / "out", draw=tmp_path / "drawn")
    os.utime(copy, (0, 0))
    annotate_here(photos, tmp_path / "out", draw=tmp_path / "drawn")
    assert copy.stat().st_mtime > 0


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
    picture = draw_faces(picture, [Label(Box(size[0] - width, 0, width, width), "surprise 87 %", "#ffffff")])
    assert picture.size == size
    rows, columns = np.nonzero(np.asarray(picture.convert("L")) > 200)
    assert rows.min() == 0 and columns.max() == size[0] - 1
    assert rows.max() - rows.min() > 10


@pytest.mark.parametrize("size", [(1200, 100), (100, 1200)])
def test_lines_are_a_four_hundredth_of_the_long_side(size: tuple[int, int]) -> None:
    """Three pixels of 1200, on both sides of the box, whichever side of the picture is the long one."""
    drawn = draw_faces(Image.new("RGB", size), [Label(Box(40, 40, 40, 40), "joy 87 %", "#ffffff")])
    middle = np.asarray(drawn.convert("L"))[60, :]
    assert np.flatnonzero(middle).tolist() == [40, 41, 42, 78, 79, 80]


@pytest.mark.parametrize(("confidence", "said"), [(0.876, "joy 88 %"), (0.504, "joy 50 %"), (0.999, "joy 100 %")])
def test_a_label_says_the_nearest_percentage(confidence: float, said: str, tmp_path: Path) -> None:
    """What is more than half of the next one is that one."""
    copies = DrawnCopies(tmp_path / "drawn", tmp_path, ("joy",))
    assert copies._label(AnnotatedFace(0, Box(0, 0, 9, 9), 0, confidence)).text == said


@pytest.mark.parametrize(("count", "side"), [(4, 100), (30, 40), (200, 24)])
def test_labels_cover_neither_each_other_nor_faces(count: int, side: int) -> None:
    """No label lies on another one or another face; each is the whole text or a number."""
    size, across = (1200, 800), 1200 // (side + 6)
    boxes = [Box(3 + i % across * (side + 6), 3 + i // across * (side + 10), side, side) for i in range(count)]
    labels = [Label(box, "surprise 87 %", colour_of(i)) for i, box in enumerate(boxes)]
    placed = place_labels(labels, size, _measured)
    areas = [one.area for one in placed]
    assert not any(one.meets(other) for i, one in enumerate(areas) for other in areas[:i])
    for one in placed:
        others = [Area(*box[:2], box.x + box.width, box.y + box.height) for box in boxes if box != one.label.box]
        assert not any(one.area.meets(other) for other in others)
        assert one.text == (str(one.number) if one.number else one.label.text)
    assert all(one.area.left >= 0 and one.area.right <= size[0] and one.area.bottom <= size[1] for one in placed)
    drawn = draw_faces(Image.new("RGB", size), labels)
    assert (drawn.height > size[1]) == any(one.number for one in placed)


def test_a_label_is_nearest_to_its_own_box() -> None:
    """Where there is room elsewhere, no label stands below one box and above another, or between two side by side."""
    above, below, beside = Box(600, 4, 100, 100), Box(600, 130, 100, 100), Box(730, 130, 100, 100)
    for one, other in ((above, below), (below, above), (below, beside), (beside, below)):
        for placed in place_labels([Label(box, "joy 87 %", "#000000") for box in (one, other)], (1200, 800), _measured):
            height = placed.area.bottom - placed.area.top
            neighbour = other if placed.label.box == one else one
            assert not placed.area.grown(height).meets(
                Area(*neighbour[:2], neighbour.x + neighbour.width, neighbour.y + neighbour.height)
            )


@pytest.mark.parametrize("side", [200, 1200, 6000])
def test_labels_of_a_picture_are_of_like_size_and_whole(side: int) -> None:
    """Beside a face that fills half the picture a tiny one's text is half as large, and both have their percentage."""
    boxes = [Box(0, 0, side // 2, side // 2), Box(side // 2, side // 2, side // 80, side // 80)]
    placed = place_labels([Label(box, "joy 87 %", "#000000") for box in boxes], (side, side), _measured)
    assert [one.text for one in placed] == ["joy 87 %"] * 2
    assert [one.font_size for one in placed] == [max(10, 0.024 * side), max(10, 0.012 * side)]


def test_every_colour_is_readable_and_apart() -> None:
    """Text on each colour, and each colour on white and on black, has contrast; no two look the same to anybody."""
    colours = [colour_of(index) for index in range(7)]
    for colour in colours:
        assert contrast(colour, "#000000" if ink_on(colour) == "black" else "#ffffff") >= 4.5
        assert min(contrast(colour, "#ffffff"), contrast(colour, "#17181a")) >= 2
    for seen_by in SEEN.values():
        levels = [seen_by @ linear(colour) for colour in colours]
        assert min(np.linalg.norm(a - b) for i, a in enumerate(levels) for b in levels[:i]) > 0.1


SEEN = {
    "most": np.eye(3),
    "deuteranopes": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopes": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
"""Machado et al. 2009, severity 1, on linear RGB."""


def linear(colour: str) -> np.ndarray:
    levels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    dark, bright = sorted(float(linear(colour) @ (0.2126, 0.7152, 0.0722)) + 0.05 for colour in (one, other))
    return bright / dark


def test_other_formats_become_png(tmp_path: Path, command: Run) -> None:
    """A format that not every viewer shows gets .png behind its name; copies over the originals are wrong usage."""
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / "a.ppm")
    annotate_here(tmp_path / "photos", tmp_path / "out", draw=tmp_path / "drawn")
    assert Image.open(tmp_path / "drawn" / "a.ppm.png").size == (512, 512)
    for folder in (tmp_path / "photos" / "drawn", tmp_path):
        done = command(tmp_path / "photos", "-o", tmp_path / "out", "--draw", folder)
        assert (done.returncode, "lie within" in done.stderr) == (2, True)


@pytest.mark.parametrize("jobs", [0, 1])
@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (f"{'d' * 300}.jpg", "too long"),
        (f"{'a/' * 2000}b.jpg", "in too many folders"),
        (f"{'a/' * 3000}b.jpg", "too long"),
    ],
)
def test_names_that_are_too_long_cost_their_pictures_alone(
    packed: str, said: str, jobs: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A name as long as the disk allows has its copy, one that it cannot hold has none; crops have shorter names."""
    longest = f"{'写' * 83}ab.jpg"
    assert len(longest.encode()) == 255
    (tmp_path / "photos").mkdir()
    astronaut().save(tmp_path / "photos" / longest)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as members:
        for name in (packed, "short.jpg"):
            members.write(tmp_path / "photos" / longest, name)
    roots = (str(archive), str(tmp_path / "photos"))
    annotate_here(archive, tmp_path / "out", roots=roots, draw=tmp_path / "drawn", crops=tmp_path / "crops", jobs=jobs)
    assert list(tables(tmp_path / "out")[0]["status"]) == ["ok", "ok", "ok"]
    assert {file.name for file in (tmp_path / "drawn").rglob("*.*g")} == {longest, "short.jpg"}
    assert len(list((tmp_path / "crops").rglob("*.jpg.0.png"))) == 3
    assert caplog.text.count(said) == 1


def test_a_name_that_others_have_costs_no_more_than_the_picture(tmp_path: Path) -> None:
    """Where a folder lies under a picture's name, or a file under its folder's, the picture alone is left out."""
    (tmp_path / "a.jpg").mkdir()
    (tmp_path / "file").write_bytes(b"")
    for name in ("a.jpg", "file/b.jpg"):
        with pytest.raises(NoPicture):
            write_picture(tmp_path / name, lambda file: file.write(b"x"))
    write_picture(tmp_path / "c.jpg", lambda file: file.write(b"x"))
    assert (tmp_path / "a.jpg").is_dir()
    assert (tmp_path / "c.jpg").read_bytes() == b"x"


def test_no_two_photographs_have_one_copy(tmp_path: Path) -> None:
    """A GIF's copy is a PNG, and a PNG beside it with that name has another."""
    copies = DrawnCopies(tmp_path / "drawn", tmp_path, ("joy",))
    names = ["x.jpg", "x.png", "x.gif", "x.gif.png", "x.gif.png.png", "x.jpg.png", "x.PNG.png", "scan.bmp"]
    drawn = [copies._file(Key(str(tmp_path), name)).name for name in names]
    assert drawn[:3] == ["x.jpg", "x.png", "x.gif.png"]
    assert len({*drawn}) == len(names)
