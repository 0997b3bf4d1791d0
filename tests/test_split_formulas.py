"""What is held out, and what must have no part in training."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from model.data.crops import VOTES, LabelledCrops, hard_labelled, image_keys
from model.data.split import HELD_OUT_SHARE, check_folder, hold_out, in_turn, split_parts
from model.errors import DataError

LABELS = ("a", "b", "c")


def crops(truth: list[int], seed: int = 0) -> LabelledCrops:
    """Different crops with these labels."""
    images = np.random.default_rng(seed).integers(0, 256, (len(truth), 48, 48), np.uint8)
    return hard_labelled(images, np.array(truth), LABELS[: max(truth) + 1])


def test_a_fifth_of_each_label_is_held_out() -> None:
    """As many of each as scikit-learn's stratified split holds out, chosen by the seed."""
    truth = [0] * 50 + [1] * 20 + [2] * 5
    data = crops(truth)
    inside = hold_out(data, seed=0)
    (_, theirs), = StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(truth, truth)  # fmt: skip
    assert HELD_OUT_SHARE == 0.2
    assert np.bincount(np.array(truth)[inside]).tolist() == np.bincount(np.array(truth)[theirs]).tolist() == [10, 4, 1]
    assert np.array_equal(inside, hold_out(data, seed=0))
    assert not np.array_equal(inside, hold_out(data, seed=1))


def test_copies_stay_together_and_count() -> None:
    """Ten copies of one image, mirrored or not, are on one side, and the share is of images, not of groups."""
    data = crops([0] * 40)
    copied = np.concatenate(
        [data.images[:30], np.repeat(data.images[30:31], 5, 0), np.repeat(data.images[30:31, :, ::-1], 5, 0)]
    )
    for seed in range(12):
        inside = hold_out(hard_labelled(copied, np.zeros(40, int), LABELS[:2]), seed)
        assert len(set(inside[30:])) == 1
        assert inside.sum() == 8


def test_the_label_that_counts_is_the_one_that_is_stratified() -> None:
    """With votes, a fifth of what the crowd calls each label."""
    data = crops([0] * 40)
    votes = np.repeat([0, 1], [30, 10])
    both = LabelledCrops(data.images, LABELS[:2], data.targets, data.weights, data.truth | {VOTES: votes})
    assert np.bincount(votes[hold_out(both, 0)]).tolist() == [6, 2]


def test_a_data_sets_own_parts_are_kept(tmp_path: Path) -> None:
    """Val validates where there is one, else test; what stands in either leaves the training."""
    train, val, test = crops([0, 1] * 6), crops([0, 1, 0, 1], 1), crops([0, 1, 0], 2)
    leaking = hard_labelled(
        np.concatenate([train.images, val.images[:1, :, ::-1], test.images[1:2]]), np.array([0, 1] * 7), LABELS[:2]
    )
    kept, validation = split_parts({"train": leaking, "val": val, "test": test}, 0, tmp_path)
    assert np.array_equal(kept.images, train.images)
    assert np.array_equal(validation.images, val.images)
    kept, validation = split_parts({"train": leaking, "test": test}, 0, tmp_path)
    assert (len(kept), len(validation)) == (13, 3)


def test_without_parts_a_fifth_is_held_out(tmp_path: Path) -> None:
    """Both sides together are all there is, and share no image."""
    for name in ("all", "train"):
        training, validation = split_parts({name: crops([0, 1] * 25)}, 3, tmp_path)
        assert (len(training), len(validation)) == (40, 10)
        assert not set(image_keys(training.images)) & set(image_keys(validation.images))


def test_too_few_are_said(tmp_path: Path) -> None:
    """Five different images of each class at least, two classes at least, and parts that go together."""
    assert len(split_parts({"all": crops([0, 1] * 5)}, 0, tmp_path)[1]) == 2
    with pytest.raises(DataError, match="at least 5; b has 4"):
        split_parts({"all": crops([0] * 5 + [1] * 4)}, 0, tmp_path)
    same = crops([0] * 5 + [1] * 5)
    same.images[5:] = same.images[5]
    with pytest.raises(DataError, match="b has 1"):
        split_parts({"all": same}, 0, tmp_path)
    with pytest.raises(DataError, match="at least two classes"):
        split_parts({"all": crops([0] * 9)}, 0, tmp_path)
    for parts in ({"val": crops([0, 1])}, {"val": crops([0, 1]), "test": crops([0, 1])}):
        with pytest.raises(DataError, match="expected the parts train and val or test"):
            split_parts(parts, 0, tmp_path)
    only_a = hard_labelled(crops([0], 9).images, np.array([0]), LABELS[:2])
    with pytest.raises(DataError, match=r"to validate on every class needs at least 1; b has 0"):
        split_parts({"train": crops([0, 1]), "val": only_a}, 0, tmp_path)


def test_class_folders_are_counted_before_they_are_read(tmp_path: Path) -> None:
    """Five files of each class, but where they stand in parts; of a person's own labels these; no_face is none."""
    own = ("cat", "dog")
    for folder, count in (("cat", 5), ("dog", 4), ("no_face", 1)):
        for number in range(count):
            (tmp_path / "few" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "few" / folder / f"{number}.png").touch()
            (tmp_path / "parts" / "train" / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / "parts" / "train" / folder / f"{number}.png").touch()
    with pytest.raises(DataError, match=r"few: a fifth of .* at least 5, or none; dog has 4"):
        check_folder(tmp_path / "few", own)
    check_folder(tmp_path / "parts", own)
    (tmp_path / "few" / "dog" / "4.png").touch()
    check_folder(tmp_path / "few", own)
    with pytest.raises(DataError, match="cat"):
        check_folder(tmp_path / "few", None)


def test_labels_take_turns() -> None:
    """One of each label, then the second of each, until the rarer ones have run out; rows without a label never."""
    truth = np.array([0, 0, 0, 1, -1, 2, 1])
    assert truth[in_turn(truth)].tolist() == [0, 1, 2, 0, 1, 0]
    assert in_turn(truth).tolist() == [0, 3, 5, 1, 6, 2]
