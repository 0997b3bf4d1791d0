"""A crop of each face in a folder of its emotion."""

from pathlib import Path

import numpy as np
import pandas as pd
from conftest import Run, annotate_here, tables
from PIL import Image

from model.data.datasets import read_sets


def test_crops_are_sorted_by_emotion_and_can_be_trained_on(photos: Path, tmp_path: Path) -> None:
    """Every face of the table has its crop under its emotion; what a person has moved stays where it was put."""
    sorted_by_hand = tmp_path / "crops"
    annotate_here(photos, tmp_path / "out", crops=sorted_by_hand)
    _, faces = tables(tmp_path / "out")
    named = [sorted_by_hand / row.emotion / f"{row.path}.{row.face}.png" for row in faces.itertuples()]
    assert len(named) >= 2
    assert sorted(sorted_by_hand.rglob("*.png")) == sorted(named)
    (crops,) = read_sets([sorted_by_hand])[0].parts.values()
    assert sorted(crops.labels[i] for i in crops.truth["emotion"]) == sorted(faces["emotion"])
    assert np.asarray(Image.open(named[0])).shape == (48, 48)
    moved = sorted_by_hand / "fear" / named[0].relative_to(sorted_by_hand / faces["emotion"].iloc[0])
    moved.parent.mkdir(parents=True)
    named[0].replace(moved)
    annotate_here(photos, tmp_path / "out", crops=sorted_by_hand, rescan=True)
    assert moved.exists() and not named[0].exists()
    assert len(list(sorted_by_hand.rglob("*.png"))) == len(named)


def test_two_roots_do_not_mix(photos: Path, tmp_path: Path) -> None:
    """Photographs of the same name below two roots have crops of their own."""
    other = photos.rename(tmp_path / "one").parent / "two"
    other.mkdir()
    (other / "astronaut.jpg").write_bytes((tmp_path / "one" / "astronaut.jpg").read_bytes())
    annotate_here(tmp_path / "one", tmp_path / "out", roots=(tmp_path / "one", other), crops=tmp_path / "crops")
    crops = (tmp_path / "crops").rglob("astronaut.jpg.0.png")
    assert sorted(crop.parent.name for crop in crops) == ["one", "two"]


def test_crops_within_a_root_are_wrong_usage(photos: Path, tmp_path: Path, command: Run) -> None:
    """Crops below a root would be annotated by the next run: exit 2, and nothing is done."""
    done = command(photos, "-o", tmp_path / "out", "--crops", photos / "crops")
    assert (done.returncode, "lie within" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_a_run_without_new_images_says_that_there_are_no_crops(photos: Path, tmp_path: Path, command: Run) -> None:
    """Asked for crops of images that are all known, the job says how to get them."""
    command(photos, "-o", tmp_path / "out")
    done = command(photos, "-o", tmp_path / "out", "--crops", tmp_path / "crops")
    assert (done.returncode, "--rescan" in done.stderr) == (0, True)
    assert len(pd.read_parquet(tmp_path / "out" / "faces.parquet")) >= 2
