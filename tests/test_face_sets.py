"""Photographs with known faces."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import astronaut

from batch.settings import DetectorSettings, WorkerSettings
from jobs.training.face_sets import KnownFaces, check_photographs, load_mined, mine, read_boxes, save_mined, split
from jobs.training.mining import mine_photograph
from model.errors import DataError

FACE = np.array([[170.0, 65.0, 110.0, 110.0]])


def test_split_is_by_photograph_and_repeatable() -> None:
    """Every photograph is on one side, the same whatever their order, another for another seed."""
    paths = [f"{number}.jpg" for number in range(50)]
    training, validation = split(paths, 0.2, 0)
    assert sorted(training + validation) == sorted(paths)
    assert len(validation) == 10
    assert split(paths[::-1], 0.2, 0) == (training, validation)
    assert split(paths, 0.2, 1) != (training, validation)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"a.jpg": {}}', '{"a.jpg": {"width": 9, "height": 9, "boxes_xywh": [[1]]}}']
)
def test_wrong_boxes(text: str, tmp_path: Path) -> None:
    """A file without boxes is an error that shows the form expected."""
    (tmp_path / "boxes.json").write_text(text)
    with pytest.raises(DataError, match=r"boxes\.json: expected.*boxes_xywh"):
        read_boxes(tmp_path / "boxes.json")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """Boxes that are not there, and a photograph that they name and that is not there, with how many more."""
    boxes = tmp_path / "boxes.json"
    with pytest.raises(DataError, match=r"boxes\.json cannot be read: No such file or directory"):
        read_boxes(boxes)
    (tmp_path / "a.jpg").touch()
    check_photographs(tmp_path, ["a.jpg"], boxes)
    with pytest.raises(DataError, match=rf"boxes\.json names b\.jpg and 1 more, .* lies below {tmp_path}"):
        check_photographs(tmp_path, ["a.jpg", "b.jpg", "c.jpg"], boxes)


def test_boxes_are_read(tmp_path: Path) -> None:
    """Faces come as an array, also where there are none."""
    boxes = {"a.jpg": {"width": 30, "height": 40, "boxes_xywh": []}, "b.jpg": {"width": 1, "height": 1}}
    boxes["b.jpg"]["boxes_xywh"] = [[1, 2, 3, 4]]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    known = read_boxes(tmp_path / "boxes.json")
    assert (known["a.jpg"].faces.shape, known["a.jpg"].long_side) == ((0, 4), 40)
    assert known["b.jpg"].faces.tolist() == [[1, 2, 3, 4]]


def test_mined_crops(tmp_path: Path) -> None:
    """Proposals come with their fit, and true faces a few times, well fitting, in the same way every time."""
    astronaut().save(tmp_path / "a.png")
    mined = mine_photograph(tmp_path, "a.png", FACE, WorkerSettings())
    assert mined.crops.shape == (len(mined.boxes), 48, 48)
    assert mined.fit[mined.proposed].max() > 0.5 > mined.fit[mined.proposed].min()
    assert (~mined.proposed).sum() == 4
    assert (mined.fit[~mined.proposed] > 0.4).all()
    assert np.array_equal(mined.crops, mine_photograph(tmp_path, "a.png", FACE, WorkerSettings()).crops)


def test_what_several_detectors_propose(tmp_path: Path) -> None:
    """To train on there are crops of each, and the true faces once for all."""
    astronaut().save(tmp_path / "a.png")
    known = {"a.png": KnownFaces(FACE, 512)}
    one, two = DetectorSettings(detect_size=512), DetectorSettings(detect_size=256)
    counted = []
    for detectors in ((one,), (two,), (one, two)):
        [mined] = mine(tmp_path, known, ["a.png"], False, detectors, 1)
        assert (~mined.proposed).sum() == 4
        assert len(mined.boxes) == len(mined.crops) == len(mined.fit)
        counted.append(mined.proposed.sum())
    assert counted[0] + counted[1] == counted[2]


def test_mined_photographs_survive_a_kill(tmp_path: Path) -> None:
    """What was mined reads back as it was; a photograph that is missing is an error with its path."""
    astronaut().save(tmp_path / "a.png")
    known = {path: KnownFaces(FACE, 512) for path in ("a.png", "b.png")}
    mined = mine(tmp_path, known, ["a.png"], True, (DetectorSettings(),), 1)
    save_mined(tmp_path / "mined.npz", mined)
    [again] = load_mined(tmp_path / "mined.npz")
    assert again.path == "a.png"
    assert np.array_equal(again.crops, mined[0].crops)
    with pytest.raises(DataError, match=r"b\.png"):
        mine(tmp_path, known, ["b.png"], True, (DetectorSettings(),), 1)
