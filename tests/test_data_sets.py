"""Several data sets in one training: boxes, sources, priors, how often each image is shown, what is held out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import astronaut
from drawn_faces import draw_crops, write_class_folders
from PIL import Image

from batch.detection.crop import crop_faces
from batch.images.decode import read_photograph
from jobs.training.face_cuts import cut_face
from model.data.class_folders import find_files
from model.data.crops import LabelledCrops, hard_labelled
from model.data.datasets import DataSet, read_sets
from model.data.image_files import read_crop, with_border
from model.data.split import split_sets
from model.data.trained_on import remembered, to_measure_by, trained_on
from model.emotions.training import averaged_weights
from model.errors import DataError
from model.training.batches import (
    ABSENT,
    TrainingSet,
    TrainingSettings,
    VariantBatches,
    label_prior,
    logit_shift,
    shows,
)
from model.training.loop import shifted_cross_entropy

LABELS = ("joy", "anger")


def crops_of(joy: int, anger: int, seed: int = 0) -> LabelledCrops:
    images = np.concatenate([draw_crops("joy", joy, seed + 1), draw_crops("anger", anger, seed + 2)])
    return hard_labelled(images, np.repeat([0, 1], (joy, anger)), LABELS)


def training_set(joy: int, anger: int, weight: float = 1.0) -> TrainingSet:
    crops = crops_of(joy, anger)
    return TrainingSet("drawn", crops, crops, weight)


def test_a_table_with_boxes_is_cut_as_annotate_cuts(tmp_path: Path) -> None:
    """The crop of a row with a box is the one that annotate labels, with its surroundings around it."""
    astronaut().save(tmp_path / "a.png")
    table = {"path": ["a.png"] * 2, "label": ["happy", "angry"], "source": ["one", "two"]}
    box = {"x": [170, 2], "y": [65, 400], "width": [110, 105], "height": [110, 111]}
    pd.DataFrame({**table, **box}).to_csv(tmp_path / "faces.csv", index=False)
    one, two = read_sets([tmp_path / "faces.csv"], cut=cut_face)
    assert [(each.name, *each.parts) for each in (one, two)] == [("one", "all"), ("two", "all")]
    gray = read_photograph(tmp_path / "a.png", 10**9, 10**5).gray
    expected = crop_faces(gray, np.array([[170, 65, 110, 110], [2, 400, 105, 111]]))
    found = [each.parts["all"] for each in (one, two)]
    assert np.array_equal(np.concatenate([crops.crops for crops in found]), expected)
    assert found[0].images.shape == (1, 72, 72)
    assert len(np.unique(found[0].images[0, :12])) > 20, "what lies around the face is kept"


def test_an_image_is_read_upright(tmp_path: Path) -> None:
    """Orientation 6 is a photograph that has to be turned clockwise by a quarter."""
    stored, exif = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_crop(tmp_path / "a.png"), np.rot90(stored, -1))


def test_of_a_wide_image_the_middle_is_read(tmp_path: Path) -> None:
    """What lies beside the square is neither seen nor squeezed in."""
    wide = np.full((48, 96), 255, np.uint8)
    wide[:, 24:72] = 0
    Image.fromarray(wide).save(tmp_path / "a.png")
    assert not read_crop(tmp_path / "a.png").any()


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    """65535 is as white as 255, and 257 times 100 as gray as 100."""
    for level in (100, 255):
        Image.fromarray(np.full((48, 48), 257 * level, np.uint16)).save(tmp_path / "a.png")
        assert (read_crop(tmp_path / "a.png") == level).all()


def test_around_a_crop_its_border_is_repeated() -> None:
    """Twelve pixels on each side, in the corners those of the corner."""
    crop = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    [image] = with_border(crop[None])
    nearest = np.clip(np.arange(72) - 12, 0, 47)
    assert np.array_equal(image, crop[nearest][:, nearest])


def test_folders_come_in_the_order_of_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever order a disk gives them in."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 1, "sad": 1, "angry": 1})
    listed = sorted(faces.iterdir())
    for order in (listed, listed[::-1]):
        monkeypatch.setattr(Path, "iterdir", lambda _, order=order: iter(order))
        assert [file.name for file in find_files(faces)[0]] == ["angry", "happy", "sad"]


def test_folders_without_an_image_are_no_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Those that annotate --crops makes and fills with nothing are left out of the labels, and that is said."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 2, "angry": 1, "sad": 0, "fear": 0, "not sure": 0})
    with caplog.at_level("INFO", "annotate.train"):
        [each] = read_sets([faces])
        assert each.labels == LABELS
        assert caplog.messages == ["left out of the labels, as there is no image: sadness, fear"]
        assert read_sets([faces], labels=LABELS)[0].labels == LABELS
        assert len(caplog.messages) == 1


def test_what_is_called_no_face_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """From folders and from tables, with a line that counts it, unless it is one of the labels."""
    faces = write_class_folders(tmp_path / "faces", {"happy": 2, "angry": 1, "no_face": 3})
    files = [(path, path.parent.name) for path in sorted(faces.rglob("*.png"))]
    pd.DataFrame(files, columns=["path", "label"]).to_csv(tmp_path / "table.csv", index=False)
    for source in (faces, tmp_path / "table.csv"):
        with caplog.at_level("INFO", "annotate.train"):
            [each] = read_sets([source])
        assert (each.labels, len(each.parts["all"])) == (LABELS, 3)
        assert caplog.messages.pop() == f"{source}: left out, as it is called no_face: 3 of 6 images"
        caplog.clear()
    [each] = read_sets([faces], labels=("no_face", *LABELS))
    assert len(each.parts["all"]) == 6


def test_data_without_an_image_is_said(tmp_path: Path) -> None:
    """Folders that are all empty, or that hold no face, or nothing that can be read."""
    empty, wrong = (write_class_folders(tmp_path / name, {"happy": 0, "no_face": 1}) for name in ("empty", "wrong"))
    with pytest.raises(DataError, match="empty: has no image of a face"):
        read_sets([empty])
    (wrong / "happy" / "a.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="wrong: none of its files could be read as an image, of 1"):
        read_sets([wrong])


@pytest.mark.parametrize("wrong", [{"width": [0]}, {"x": ["left"]}, {"height": None}])
def test_a_box_that_is_none_is_said(wrong: dict[str, object], tmp_path: Path) -> None:
    """A row whose box has no size, or is no number, or lacks a column, ends with the row's number or the columns."""
    table = {"path": ["a.png"], "label": ["joy"], "x": [1], "y": [1], "width": [9], "height": [9], **wrong}
    pd.DataFrame({name: column for name, column in table.items() if column}).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=r"row 1 has no box|columns expected"):
        read_sets([tmp_path / "t.csv"], cut=cut_face)


def test_nothing_that_any_set_holds_out_is_trained_on() -> None:
    """An image that one set holds out leaves the training part of the other, also mirrored."""
    first, second = crops_of(20, 20), crops_of(20, 20, seed=5)
    mirrored = LabelledCrops(
        np.concatenate([second.images, first.images[:, :, ::-1]]),
        LABELS,
        {"emotion": np.concatenate([second.targets["emotion"], first.targets["emotion"]])},
        {"emotion": np.ones(80, "float32")},
        {"emotion": np.concatenate([second.truth["emotion"], first.truth["emotion"]])},
    )
    sets = [DataSet("a", Path("a"), {"all": first}), DataSet("b", Path("b"), {"all": mirrored})]
    split = split_sets(sets, seed=1)
    held_out = [remembered(validation) for _, validation in split.values()]
    facts = {"data": {str(number): {"trained_on": text} for number, text in enumerate(held_out)}}
    for train, _ in split.values():
        assert not trained_on(train, facts).any()
    assert len(split["a"][0]) < 32 and len(split["b"][0]) < 64, "images left"


def test_images_are_shown_as_often_as_weight_and_evenness_say() -> None:
    """Over the epochs each image comes weight times on average, labels in equal numbers at an evenness of one."""
    each = training_set(30, 10, weight=0.5)
    assert shows(each, 0.0) == pytest.approx(0.5)
    assert shows(each, 1.0) == pytest.approx([1 / 3] * 30 + [1.0] * 10)
    settings = TrainingSettings(batch_size=1, copies=5, evenness=1.0)
    batches = VariantBatches([each], settings)
    seen = np.zeros(40, int)
    for _ in range(12):
        np.add.at(seen, batches._rows, 1)
        batches.on_epoch_end()
    assert seen[30:] == pytest.approx(12, abs=2)
    assert seen[:30] == pytest.approx(4, abs=2)


def test_every_variant_has_its_turn() -> None:
    """After as many epochs as there are copies every image was shown in each of its variants once."""
    batches = VariantBatches([training_set(4, 4)], TrainingSettings(batch_size=8, copies=3))
    shown = set()
    for _ in range(3):
        shown |= set(zip(batches._rows.tolist(), batches._variants.tolist(), strict=True))
        batches.on_epoch_end()
    assert shown == {(row, variant) for row in range(8) for variant in range(3)}


def test_each_set_is_shifted_by_its_own_prior() -> None:
    """Beside a row's target stands its set's shift: strength times log prior, and a label that is absent leaves."""
    even, uneven = training_set(8, 8), training_set(12, 4)
    joy = hard_labelled(draw_crops("joy", 8), np.zeros(8, int), LABELS)
    none = TrainingSet("none", joy, joy)
    settings = TrainingSettings(batch_size=40, logit_adjustment=0.7)
    _, targets, _ = VariantBatches([even, uneven, none], settings)[0]
    shifts = {tuple(row) for row in np.round(targets["emotion"][:, 1], 4).tolist()}
    expected = {tuple(np.round(0.7 * np.log(prior), 4)) for prior in ([0.5, 0.5], [0.75, 0.25])} | {(0.0, ABSENT)}
    assert np.array(sorted(shifts)) == pytest.approx(np.array(sorted(expected)), abs=1e-3)
    assert logit_shift(label_prior(uneven, "emotion"), 1.0) == pytest.approx(np.log([0.75, 0.25]))


def test_a_label_without_images_is_not_unlearned() -> None:
    """What a set says nothing about gets no gradient from it, while without the shift it would be pushed down."""
    target, logits = np.array([[1.0, 0.0, 0.0]]), np.array([[0.2, 0.1, 0.9]])
    shift = logit_shift(np.array([0.5, 0.5, 0.0]), 0.3)

    def loss(absent: float, shift: np.ndarray) -> float:
        moved = np.concatenate([logits[:, :2], [[absent]]], axis=1).astype("float32")
        return float(np.asarray(shifted_cross_entropy(np.stack([target, shift[None]], axis=1), moved))[0])

    assert loss(0.9, shift) == pytest.approx(loss(-2.0, shift), abs=1e-6)
    assert loss(0.9, np.zeros(3, "float32")) > loss(-2.0, np.zeros(3, "float32")) + 0.1


def test_what_is_kept_of_the_old_weights() -> None:
    """A keep of 0.3 gives three tenths of the old weights and seven of the new; 0 gives the new ones."""
    old, new = [np.array([1.0, 0.0])], [np.array([0.0, 2.0])]
    assert averaged_weights(old, new, 0.3)[0] == pytest.approx([0.3, 1.4])
    assert np.array_equal(averaged_weights(old, new, 0.0)[0], new[0])


def test_votes_and_labels_are_mixed() -> None:
    """A mixed target is the mean of the labellings, each weighted by its share and by how much its row counts."""
    crops = LabelledCrops(
        draw_crops("joy", 2),
        LABELS,
        {"votes": np.array([[0.6, 0.4], [0.5, 0.5]]), "emotion": np.array([[0.0, 1.0], [1.0, 0.0]])},
        {"votes": np.array([1.0, 0.0]), "emotion": np.ones(2)},
        {"votes": np.array([0, -1]), "emotion": np.array([1, 0])},
    )
    mixed = crops.mixed({"votes": 0.5, "emotion": 0.5})
    assert mixed.targets["emotion"] == pytest.approx(np.array([[0.3, 0.7], [1.0, 0.0]]))
    assert mixed.weights["emotion"] == pytest.approx([1.0, 0.5])
    assert set(mixed.truth) == {"votes", "emotion"}


def test_a_model_is_measured_on_what_it_was_not_trained_on() -> None:
    """Of a set without parts the default is what the training left; new images count, trained ones do not."""
    crops = crops_of(10, 10)
    facts = {"data": {"drawn": {"trained_on": remembered(crops.take(np.arange(15)))}}}
    each = DataSet("drawn", Path("drawn"), {"all": crops})
    assert [len(part) if isinstance(part, LabelledCrops) else part for part in to_measure_by(each, None, facts)] == [
        "held out",
        5,
    ]
    assert len(to_measure_by(each, "all", facts)[1]) == 20
    assert to_measure_by(each, None, {})[0] == "all"
    with pytest.raises(DataError, match="trained on all"):
        to_measure_by(each, None, {"data": {"drawn": {"trained_on": remembered(crops)}}})
    parts = {name: crops_of(count, 1) for count, name in enumerate(("train", "val", "test"), 1)}
    name, found = to_measure_by(DataSet("drawn", Path("drawn"), parts), None, facts)
    assert (name, len(found)) == ("test", 4), "what validated has chosen the epoch"


def test_labels_of_several_sets_are_those_of_any(tmp_path: Path) -> None:
    """In the order of the emotions, and the same for each of them; nothing has to be in all."""
    first = write_class_folders(tmp_path / "first", {"sad": 1, "happy": 2})
    second = write_class_folders(tmp_path / "second", {"angry": 1, "happy": 1})
    one, other = read_sets([first, second])
    assert one.labels == other.labels == ("joy", "anger", "sadness")
    assert sorted(one.parts["all"].truth["emotion"].tolist()) == [0, 0, 2]
    assert sorted(other.parts["all"].truth["emotion"].tolist()) == [0, 1]
