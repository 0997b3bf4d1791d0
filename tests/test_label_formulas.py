"""Names of classes and votes of the crowd become labels: every rule against a case worked out by hand."""

import numpy as np
import pytest

from model.data.crops import VOTES, LabelledCrops, balanced, hard_labelled, image_keys, without
from model.data.fer2013 import majority, vote_targets
from model.data.parts import part_named
from model.labels import EMOTIONS, FER2013_IDS, FERPLUS_COLUMNS, describe, is_no_face, label_index

KNOWN_AS = {
    "joy": "joy joyful happy happiness",
    "anger": "anger angry",
    "sadness": "sadness sad",
    "disgust": "disgust disgusted",
    "fear": "fear fearful afraid scared",
    "surprise": "surprise surprised",
    "neutral": "neutral neutrality calm",
}
"""Every name that README, CONTRIBUTING and the card promise, spelt out once more on purpose."""

NO_VOTE = dict.fromkeys(FERPLUS_COLUMNS, 0)


def votes(**counts: int) -> np.ndarray:
    """One row of FER+, (1, 10); ``no_face`` stands for its last column."""
    named = {name.replace("_", " "): count for name, count in counts.items()}
    return np.array([list((NO_VOTE | named).values())], "float32")


def hard_label(**counts: int) -> str | None:
    (index,) = majority(votes(**counts))
    return EMOTIONS[index] if index >= 0 else None


@pytest.mark.parametrize(("emotion", "name"), [(e, n) for e, names in KNOWN_AS.items() for n in names.split()])
def test_every_synonym_is_understood(emotion: str, name: str) -> None:
    """A data set may call an emotion by any of its names, in any case, with blanks around it."""
    assert label_index(name, EMOTIONS) == EMOTIONS.index(emotion)
    assert label_index(f" {name.upper()} ", EMOTIONS) == EMOTIONS.index(emotion)
    assert name in describe(EMOTIONS)


def test_a_name_stands_for_itself_before_it_is_a_synonym() -> None:
    """Labels of a model's own come first; a synonym finds the label that it is one of; others are none."""
    assert label_index("happy", ("joy", "happy")) == 1
    assert label_index("happy", ("happiness", "sad")) == 0
    assert label_index("joy", ("sad", "happiness")) == 1
    assert label_index("bored", EMOTIONS) is None
    assert label_index("happy", ("sad", "angry")) is None


def test_no_face_is_understood_in_any_case() -> None:
    """With blanks around it, too; a face that only begins so is one."""
    assert is_no_face(" No_Face ")
    assert not is_no_face("no_faces")


def test_ids_and_columns_are_those_of_the_data_sets() -> None:
    """The orders of FER2013's ids (0 angry … 6 neutral), of FER+'s columns and of our own columns."""
    assert EMOTIONS == ("joy", "anger", "sadness", "disgust", "fear", "surprise", "neutral")
    assert FER2013_IDS == ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
    assert FERPLUS_COLUMNS[:7] == ("neutral", "joy", "surprise", "sadness", "anger", "disgust", "fear")
    assert FERPLUS_COLUMNS[7:] == ("contempt", "unknown", "no face")


@pytest.mark.parametrize(
    ("name", "part"),
    [("Training", "train"), ("train", "train"), ("PublicTest", "val"), ("valid", "val"), ("dev", "val"),
     ("validation", "val"), ("PrivateTest", "test"), ("testing", "test"), (" Test ", "test"), ("others", None)],
)  # fmt: skip
def test_parts_go_by_their_names(name: str, part: str | None) -> None:
    """FER2013's PublicTest validates and its PrivateTest tests."""
    assert part_named(name) == part


def test_votes_become_a_distribution_and_a_weight() -> None:
    """Six of ten for joy and two for neutral, two for contempt: 3/4, 1/4, and a weight of 8/10."""
    targets, weight = vote_targets(votes(joy=6, neutral=2, contempt=2))
    assert dict(zip(EMOTIONS, targets[0], strict=True)) == pytest.approx(
        {"joy": 0.75, "neutral": 0.25} | dict.fromkeys(EMOTIONS[1:6], 0)
    )
    assert weight == pytest.approx([0.8])


def test_single_votes_are_dropped() -> None:
    """One vote is a slip: it stands neither in the targets nor in the weight, and wins nothing."""
    targets, weight = vote_targets(votes(joy=8, fear=1, contempt=1))
    assert targets[0, EMOTIONS.index("joy")] == 1
    assert targets[0, EMOTIONS.index("fear")] == 0
    assert weight == pytest.approx([1])
    assert vote_targets(votes(joy=2, fear=2))[0][0, EMOTIONS.index("fear")] == pytest.approx(0.5)
    assert hard_label(**dict.fromkeys(("joy", "fear", "anger", "sadness"), 1)) is None
    assert hard_label(joy=2, fear=1) == "joy"


def test_rows_without_a_vote_count_nothing() -> None:
    """All single votes, or all for no face: an even distribution of weight 0, which trains nobody."""
    for row in (votes(joy=1, fear=1), votes(no_face=10), votes(unknown=4, contempt=6)):
        targets, weight = vote_targets(row)
        assert targets[0] == pytest.approx(np.full(7, 1 / 7))
        assert weight == pytest.approx([0])


@pytest.mark.parametrize(
    ("counts", "label"),
    [
        ({"joy": 4, "neutral": 6}, "neutral"),
        ({"joy": 4, "contempt": 6}, None),
        ({"sadness": 4, "unknown": 5}, None),
        ({"surprise": 4, "no_face": 5}, None),
        ({"surprise": 5, "no_face": 5}, "surprise"),  # the first of FER2013's ids comes before contempt and others
        ({"joy": 5, "sadness": 5}, "joy"),  # ids 3 and 4
        ({"joy": 5, "anger": 5}, "anger"),  # ids 3 and 0
        ({"neutral": 5, "surprise": 5}, "surprise"),  # ids 6 and 5
    ],
)
def test_the_majority_is_the_label(counts: dict[str, int], label: str | None) -> None:
    """Most votes win, ties go to the lower id of FER2013; what no emotion wins has no label."""
    assert hard_label(**counts) == label


def test_a_row_without_votes_has_no_label_among_others() -> None:
    """Each row is judged by its own votes; one that has single ones only has none left."""
    rows = [votes(joy=6), votes(joy=1, fear=1), votes(), votes(fear=2)]
    assert majority(np.concatenate(rows)).tolist() == [EMOTIONS.index("joy"), -1, -1, EMOTIONS.index("fear")]


def crops(truth: list[int], seed: int = 0) -> LabelledCrops:
    """Different crops with these of three labels."""
    images = np.random.default_rng(seed).integers(0, 256, (len(truth), 48, 48), np.uint8)
    return hard_labelled(images, np.array(truth), ("a", "b", "c"))


def test_balanced_labels_weigh_the_same() -> None:
    """Six of one label, three and one of the others: each has a third of all weight, which is 1 on average."""
    data = crops([0] * 6 + [1] * 3 + [2])
    weights = balanced(data).weights["emotion"]
    assert [weights[data.truth["emotion"] == label].sum() for label in range(3)] == pytest.approx([10 / 3] * 3)
    assert weights[[0, 6, 9]] == pytest.approx([10 / 18, 10 / 9, 10 / 3])
    assert (data.weights["emotion"] == 1).all()


def test_balance_counts_weights_and_soft_targets() -> None:
    """A row of weight 0 stays without weight, a row between two labels counts for both, absent labels for nothing."""
    targets = np.array([[1, 0, 0], [0.5, 0.5, 0], [1, 0, 0]], "float32")
    rows = crops([0, 1, 0])
    data = LabelledCrops(rows.images, rows.labels, {"emotion": targets}, {"emotion": np.array([1, 1, 0.0])}, rows.truth)
    weights = balanced(data).weights["emotion"]
    # masses 1.5 and 0.5 of 2 in all: a label's factor is 2 / 2 / mass
    assert weights == pytest.approx([1 / 1.5, 0.5 / 1.5 + 0.5 / 0.5, 0])


def test_votes_count_where_there_are_some() -> None:
    """The labelling that counts is the crowd's, else the data's own."""
    data = crops([0, 1])
    assert data.labelling == "emotion"
    both = LabelledCrops(data.images, data.labels, data.targets, data.weights, data.truth | {VOTES: np.array([0, -1])})
    assert both.labelling == VOTES


def test_mirror_images_are_the_same_image() -> None:
    """Keys are equal for an image and its mirror image only; what is held out leaves the training, mirrored or not."""
    data = crops([0, 1, 2])
    mirrored = hard_labelled(data.images[:1, :, ::-1], np.array([0]), data.labels)
    upside_down = hard_labelled(data.images[1:2, ::-1], np.array([0]), data.labels)
    assert image_keys(mirrored.images)[0] == image_keys(data.images)[0]
    assert len(set(image_keys(data.images))) == 3
    assert np.array_equal(without(data, mirrored, upside_down).images, data.images[1:])
    assert len(without(data, data)) == 0


def test_a_fingerprint_tells_data_apart() -> None:
    """Other pixels, other names of labels, other targets or another order are other data; the same are the same."""
    data = crops([0, 1, 2])
    others = [
        crops([0, 1, 2], seed=1),
        crops([0, 1, 1]),
        data.take(np.array([1, 0, 2])),
        LabelledCrops(data.images, ("a", "b", "d"), data.targets, data.weights, data.truth),
    ]
    assert crops([0, 1, 2]).fingerprint() == data.fingerprint()
    assert len({data.fingerprint(), *(other.fingerprint() for other in others)}) == 5
