"""Data sets as trees of class folders: which files count, of which class and part, and what is said of other trees."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data.class_folders import find_files
from model.data.image_files import LabelledFile, find_labels, read_files
from model.errors import DataError
from model.labels import EMOTIONS


def tree(root: Path, *files: str) -> Path:
    """A folder with these empty files; a name that ends in a slash is a folder."""
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).touch()
    return root


def told(root: Path) -> list[tuple[str, str, str]]:
    """Path below the root, class and part of each file."""
    return [(file.path.relative_to(root).as_posix(), file.name, file.part) for file in find_files(root)[0]]


def test_a_folder_is_a_class_with_all_that_lies_below_it(tmp_path: Path) -> None:
    """In the order of the paths; what is hidden, or what archivers and file servers leave, is none of it."""
    root = tree(
        tmp_path / "mine",
        *("sad/b.png", "sad/a/c.png", "sad/.d.png", "sad/.e/f.png", "sad/Thumbs.db", "happy/2.png", "happy/1.png"),
        *(".git/x.png", "__MACOSX/y.png", "sad/@eaDir/z.png", "read me.txt", "empty/", "gone/.hidden.png"),
    )
    expected = ["happy/1.png", "happy/2.png", "sad/b.png", "sad/a/c.png"]
    assert told(root) == [(name, name.partition("/")[0], "all") for name in expected]
    files, without = find_files(root)
    assert without == ["empty", "gone"]
    assert {file.source for file in files} == {"mine"} and {file.box for file in files} == {None}


def test_parts_have_classes_of_their_own(tmp_path: Path) -> None:
    """Whatever people call train, val and test; a class without files in one part has some in another."""
    root = tree(
        tmp_path, "Training/joy/1.png", "Training/fear/2.png", "valid/joy/3.png", "valid/fear/", "test/joy/4.png"
    )
    assert told(root) == [
        ("Training/fear/2.png", "fear", "train"),
        ("Training/joy/1.png", "joy", "train"),
        ("test/joy/4.png", "joy", "test"),
        ("valid/joy/3.png", "joy", "val"),
    ]
    assert find_files(root)[1] == []


def test_what_is_no_such_tree_is_said(tmp_path: Path) -> None:
    """A folder without folders, and parts beside classes."""
    with pytest.raises(DataError, match="flat: expected one folder per class, such as joy/ and anger/"):
        find_files(tree(tmp_path / "flat", "1.png"))
    with pytest.raises(DataError, match=r"both: has class folders beside test, train\. Expected"):
        find_files(tree(tmp_path / "both", "train/joy/1.png", "test/joy/1.png", "joy/1.png"))


def test_the_labels_are_those_given_or_the_emotions_that_occur(tmp_path: Path) -> None:
    """Emotions in their own order and by any synonym; an unknown class is named, with what would help."""
    assert find_labels(["sad", "happy", "happiness"], None, tmp_path) == ("joy", "sadness")
    assert find_labels(["dog"], ("cat", "dog"), tmp_path) == ("cat", "dog")
    with pytest.raises(DataError) as refused:
        find_labels(["zebra", "joy", "ape"], None, tmp_path)
    said = f"{tmp_path}: unknown class 'ape', 'zebra'. Known: {EMOTIONS[0]}"
    assert str(refused.value).startswith(said)
    assert str(refused.value).endswith(
        "Rename or remove it, or train on this data's own labels: --labels ape,joy,zebra"
    )
    with pytest.raises(DataError, match=r"Rename or remove it$"):
        find_labels(["joy"], ("cat", "dog"), tmp_path)


def test_files_are_read_into_their_parts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Each crop with its own label, the border repeated around it; those that are none are counted and named."""
    names = ("dog", "cat", "dog", "cat")
    for number in range(len(names)):
        levels = np.full((48, 48), 10 * number, np.uint8)
        levels[:, -1] = 200 + number
        Image.fromarray(levels).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"no image")
    files = [
        LabelledFile(tmp_path / f"{number}.png", name, part, "mine")
        for number, (name, part) in enumerate(zip(names, ("val", "train", "train", "val"), strict=True))
    ]
    parts = read_files(files, ("cat", "dog"))
    assert {part: crops.truth["emotion"].tolist() for part, crops in parts.items()} == {"val": [1, 0], "train": [0]}
    assert parts["val"].images[:, 0, 0].tolist() == [0, 30] and parts["val"].images[:, 71, 71].tolist() == [200, 203]
    assert parts["train"].crops.shape == (1, 48, 48) and parts["train"].crops[0, 0, 0] == 10
    assert caplog.messages[-1] == "left out, as they could not be read: 1 of 4 files"
    assert f"left out {tmp_path / '2.png'}: cannot identify image file" in caplog.messages[0]
    with pytest.raises(DataError, match="a table with boxes needs the photographs' reader"):
        read_files([LabelledFile(tmp_path / "0.png", "dog", "all", "mine", (1, 2, 3, 4))], ("dog",))
