"""A crop of each face in a folder of its emotion."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from conftest import WORKER, Run, annotate_here, astronaut, noise, tables
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from batch.detection.crop import crop_faces
from batch.outcome import Box, Key
from batch.pictures.annotated import AnnotatedFace, AnnotatedImage
from batch.pictures.crop_files import CropFiles, cut_square, flat_name
from batch.settings import DetectorSettings, WorkerSettings
from jobs.annotation.job import AnnotationJob
from model.bundle import DETECTOR_MODEL
from model.data.datasets import read_sets
from model.labels import EMOTIONS


def test_crops_are_sorted_by_emotion_and_can_be_trained_on(photos: Path, tmp_path: Path) -> None:
    """Every face of the table has its crop under its emotion; what a person has moved stays where it was put."""
    sorted_by_hand = tmp_path / "crops"
    annotate_here(photos, tmp_path / "out", crops=sorted_by_hand)
    _, faces = tables(tmp_path / "out")
    flat = faces["path"].str.replace("/", "__") + "." + faces["face"].astype(str) + ".png"
    named = [sorted_by_hand / emotion / name for emotion, name in zip(faces["emotion"], flat, strict=True)]
    assert len(named) >= 2
    assert sorted(sorted_by_hand.rglob("*.png")) == sorted(named)
    assert {folder.name for folder in sorted_by_hand.iterdir()} == set(EMOTIONS), "also the empty ones"
    (crops,) = read_sets([sorted_by_hand])[0].parts.values()
    assert sorted(crops.labels[i] for i in crops.truth["emotion"]) == sorted(faces["emotion"])
    for place in ("fear", "not sure"):
        (sorted_by_hand / place).mkdir(exist_ok=True)
    moved = [sorted_by_hand / place / file.name for place, file in zip(("fear", "not sure"), named, strict=False)]
    for old, new in zip(named, moved, strict=False):
        old.replace(new)
    annotate_here(photos, tmp_path / "out", crops=sorted_by_hand, rescan=True)
    assert sorted(sorted_by_hand.rglob("*.png")) == sorted([*moved, *named[len(moved) :]])


def test_crops_follow_a_photograph_that_is_replaced(tmp_path: Path) -> None:
    """Another photograph under the name has its own crops, in the place of the old ones; moved ones stay."""
    root, crops = tmp_path / "photos", tmp_path / "crops"
    root.mkdir()
    both = Image.new("RGB", (1024, 512))
    both.paste(astronaut(), (0, 0))
    both.paste(astronaut(), (512, 0))
    for name in ("a.png", "b.png"):
        both.save(root / name)
    annotate_here(root, tmp_path / "out", crops=crops)
    assert [file.name for file in sorted(crops.rglob("*.png"))] == [
        f"{one}.png.{n}.png" for one in "ab" for n in (0, 1)
    ]
    [moved] = crops.rglob("b.png.0.png")
    moved = moved.rename(crops / "fear" / moved.name)
    before = {file: file.read_bytes() for file in crops.rglob("*.png")}
    annotate_here(root, tmp_path / "out", crops=crops, rescan=True)
    assert {file: file.read_bytes() for file in crops.rglob("*.png")} == before
    for name in ("a.png", "b.png"):
        Image.fromarray(np.asarray(astronaut())[:, ::-1] // 2).save(root / name)
    annotate_here(root, tmp_path / "out", crops=crops)
    [crop] = crops.rglob("a.png.*.png")
    assert np.asarray(Image.open(crop)).mean() < 0.6 * np.asarray(Image.open(moved)).mean()
    assert [(file, file.read_bytes()) for file in crops.rglob("b.png.0.png")] == [(moved, before[moved])]


def test_crops_of_another_detector_take_the_place_of_the_old_ones(photos: Path, tmp_path: Path) -> None:
    """They are those that a fresh folder would have."""
    cnn = WorkerSettings(DetectorSettings("cnn", model=DETECTOR_MODEL), networks=WORKER.networks)
    annotate_here(photos, tmp_path / "out", crops=tmp_path / "crops", worker=WORKER)
    annotate_here(photos, tmp_path / "out", crops=tmp_path / "crops", worker=cnn)
    annotate_here(photos, tmp_path / "new", crops=tmp_path / "fresh", worker=cnn)
    written, fresh = (
        {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*.png")}
        for folder in (tmp_path / "crops", tmp_path / "fresh")
    )
    assert written == fresh


def test_crops_of_another_run_are_left_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Two outputs with photographs of one name cannot share a folder: the second is told so; its tables are whole."""
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        astronaut().resize((512 + number, 512)).save(tmp_path / name / "x.png")
        annotate_here(tmp_path / name, tmp_path / f"{name} out", crops=tmp_path / "crops")
    assert "is of another photograph of that name. Name another folder" in caplog.text
    assert len(list((tmp_path / "crops").rglob("*.png"))) == len(tables(tmp_path / "two out")[1]) == 1


def test_crops_are_the_faces_in_colour(tmp_path: Path) -> None:
    """A crop is the square that the CNN sees, as large as the photograph gives, 256 pixels at most."""
    (tmp_path / "photos").mkdir()
    for side in (512, 3000):
        astronaut().resize((side, side)).save(tmp_path / "photos" / f"{side}.jpg", quality=95)
    annotate_here(tmp_path / "photos", tmp_path / "out", crops=tmp_path / "crops")
    _, faces = tables(tmp_path / "out")
    for row in faces.itertuples():
        crop = Image.open(tmp_path / "crops" / row.emotion / f"{row.path}.0.png")
        assert crop.size == (min(256, max(row.width, row.height)),) * 2
        gray = np.asarray(Image.open(tmp_path / "photos" / row.path).convert("L"))
        seen = crop_faces(gray, np.array([[row.x, row.y, row.width, row.height]]))[0]
        assert np.corrcoef(seen.ravel(), np.asarray(crop.convert("L").resize((48, 48))).ravel())[0, 1] > 0.98
        assert np.ptp(np.asarray(crop), axis=2).max() > 50


def annotated(file: Path, *boxes: tuple[float, ...]) -> AnnotatedImage:
    """A photograph as it lies there, with joyful faces in these boxes, annotated after any crop of this test."""
    status = file.stat()
    faces = tuple(AnnotatedFace(number, Box(*box), 0, 0.9) for number, box in enumerate(boxes))
    version, later = (status.st_size, status.st_mtime_ns), datetime.now(UTC) + timedelta(hours=1)
    return AnnotatedImage(Key(str(file.parent), file.name), version, later, faces)


def test_the_smallest_face_says_how_large_a_photograph_is_decoded(tmp_path: Path) -> None:
    """A JPEG with a face of 1500 pixels is shrunk, but not where a face of 60 would lose its own."""
    file = tmp_path / "photos" / "a.jpg"
    file.parent.mkdir()
    astronaut().resize((3000, 3000)).save(file)
    CropFiles(tmp_path / "crops", file.parent, ("joy",)).write(
        annotated(file, (900, 300, 1500, 1500), (100, 100, 60, 60))
    )
    crops = [Image.open(tmp_path / "crops" / "joy" / f"a.jpg.{number}.png") for number in (0, 1)]
    assert [crop.size for crop in crops] == [(256, 256), (60, 60)]


@pytest.mark.parametrize(("left", "top"), [(85, 85), (-10, -12), (85, -12)])
def test_a_crop_beyond_the_border_repeats_it(left: int, top: int) -> None:
    """Pixel by pixel, on each side: 30 x 30 around a box that reaches over it."""
    picture = noise(1, 100).convert("RGB")
    crop = np.asarray(cut_square(picture, Box(left + 5, top, 20, 30), 1.0))
    padded = np.pad(np.asarray(picture), ((30, 30), (30, 30), (0, 0)), mode="edge")
    assert np.array_equal(crop, padded[top + 30 : top + 60, left + 30 : left + 60])


def test_a_photograph_that_is_replaced_has_a_new_crop_of_the_same_box(tmp_path: Path) -> None:
    """The box alone does not tell it."""
    file, crop = tmp_path / "photos" / "a.png", tmp_path / "crops" / "joy" / "a.png.0.png"
    file.parent.mkdir()
    crops = CropFiles(tmp_path / "crops", file.parent, ("joy",))
    for seed, size in ((1, 100), (2, 101)):
        picture = noise(seed, size)
        picture.save(file)
        image = annotated(file, (10, 10, 40, 40))
        assert crops.are_due(image)
        crops.write(image)
        assert np.array_equal(np.asarray(Image.open(crop)), np.asarray(picture)[10:50, 10:50])
    assert not crops.are_due(image)


def test_known_images_have_crops_without_being_detected_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for crops and copies later, the job cuts and draws what its tables say: it detects nothing."""
    annotate_here(photos, tmp_path / "out")
    monkeypatch.setattr(
        AnnotationJob, "_annotated", lambda job, _: iter(() if not list(job.plan) else pytest.fail("detects"))
    )
    annotate_here(photos, tmp_path / "out", crops=tmp_path / "crops", draw=tmp_path / "drawn")
    images, faces = tables(tmp_path / "out")
    assert len(list((tmp_path / "crops").rglob("*.png"))) == len(faces)
    drawn = [file for file in (tmp_path / "drawn").rglob("*") if file.is_file()]
    assert len(drawn) == images["status"].isin(["ok", "no_face"]).sum()
    before = {file: file.stat().st_mtime_ns for file in drawn}
    annotate_here(photos, tmp_path / "out", crops=tmp_path / "crops", draw=tmp_path / "drawn")
    assert before == {file: file.stat().st_mtime_ns for file in drawn}, "what is there is not made again"


@given(
    st.lists(st.lists(st.sampled_from(["a", "a__b", "b", "__", "写" * 80]), min_size=1, max_size=5), unique_by=tuple)
)
def test_flat_names_stay_apart(paths: list[list[str]]) -> None:
    """No two paths have the same flat name, and each is short enough for a disk."""
    names = [flat_name(Path(*parts)) for parts in paths]
    assert len(set(names)) == len(names)
    assert all(len(name.encode("utf-8", "surrogateescape")) <= 240 and "/" not in name for name in names)


def test_two_roots_do_not_mix(photos: Path, tmp_path: Path) -> None:
    """Photographs of the same name below two roots have crops of their own."""
    other = photos.rename(tmp_path / "one").parent / "two"
    other.mkdir()
    (other / "astronaut.jpg").write_bytes((tmp_path / "one" / "astronaut.jpg").read_bytes())
    annotate_here(tmp_path / "one", tmp_path / "out", roots=(tmp_path / "one", other), crops=tmp_path / "crops")
    crops = (tmp_path / "crops").rglob("*astronaut.jpg.0.png")
    assert sorted(crop.name for crop in crops) == ["one__astronaut.jpg.0.png", "two__astronaut.jpg.0.png"]


def test_crops_within_a_root_are_wrong_usage(photos: Path, tmp_path: Path, command: Run) -> None:
    """Crops below a root would be annotated by the next run: exit 2, and nothing is done."""
    done = command(photos, "-o", tmp_path / "out", "--crops", photos / "crops")
    assert (done.returncode, "lie within" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
