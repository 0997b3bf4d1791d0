"""What is trained on and what is validated on, with no image on both sides."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from model.data.class_folders import find_files
from model.data.crops import LabelledCrops, image_keys, without
from model.data.datasets import DataSet
from model.data.image_files import find_labels
from model.data.parts import ALL, TEST, TRAIN, VALIDATION
from model.errors import DataError
from model.labels import is_no_face, label_index

log = logging.getLogger("annotate.train")

HELD_OUT_SHARE = 0.2
_LEAST = round(1 / HELD_OUT_SHARE)
"""Different images that a class needs, so that its fifth is one."""
_HOLDS_OUT = "{}: a fifth of the different images is held out, so"


def check_folder(root: Path, labels: tuple[str, ...] | None) -> None:
    """Raise DataError if the class folders are unknown, or without parts have too few files; reads no image.

    Without ``labels`` they are the emotions.
    """
    files, _ = find_files(root)
    faces = [file for file in files if not is_no_face(file.name)]
    known = find_labels((file.name for file in faces), labels, root)
    counts = Counter(label_index(file.name, known) for file in faces if file.part == ALL)
    of_labels = {label: counts[index] for index, label in enumerate(known) if counts[index]}
    _refuse_few(of_labels, _LEAST, _HOLDS_OUT.format(root), may_lack=True)


def split_sets(
    sets: Sequence[DataSet], seed: int, may_lack: bool = False
) -> dict[str, tuple[LabelledCrops, LabelledCrops]]:
    """The crops of each set to train on and to validate on; nothing that any of them holds out is trained on.

    With ``may_lack`` a set need not have images of every label. Of several sets none need have.
    """
    lacking = may_lack or len(sets) > 1
    split = {each.name: split_parts(each.parts, seed, each.source, lacking) for each in sets}
    held_out = [validation for _, validation in split.values()]
    held_out += [each.parts[part] for each in sets for part in (VALIDATION, TEST) if part in each.parts]
    apart = {name: (without(crops, *held_out), validation) for name, (crops, validation) in split.items()}
    dropped = sum(len(split[name][0]) - len(crops) for name, (crops, _) in apart.items())
    if dropped:
        log.info("left out of training, as another data set holds them out: %d", dropped)
    return apart


def split_parts(
    parts: dict[str, LabelledCrops], seed: int, source: Path, may_lack: bool = False
) -> tuple[LabelledCrops, LabelledCrops]:
    """The crops to train on and to validate on.

    A data set's own split is used where it has one: val, or test where there is no val, validates, and what stands
    in any of them is dropped from training. Otherwise a fifth is held out. Raises DataError if a class has too few
    images.
    """
    held_out = [parts[part] for part in (VALIDATION, TEST) if part in parts]
    if held_out and TRAIN in parts:
        train, validation = without(parts[TRAIN], *held_out), held_out[0]
        dropped = len(parts[TRAIN]) - len(train)
        log.info("the data's own split; left out of training, as they are held out too: %d", dropped)
        _check(train, 1, f"{source}: to train on", may_lack)
        _check(validation, 1, f"{source}: to validate on", may_lack)
        return train, validation
    if len(parts) > 1 or not {ALL, TRAIN} & parts.keys():
        raise DataError(f"{source}: expected the parts train and val or test, received {', '.join(parts)}.")
    (crops,) = parts.values()
    _check(crops, _LEAST, _HOLDS_OUT.format(source), may_lack)
    inside = hold_out(crops, seed)
    return crops.take(~inside), crops.take(inside)


def hold_out(crops: LabelledCrops, seed: int) -> np.ndarray:
    """Choose a fifth of each class by ``seed`` -> mask (N,). Identical images, also mirrored, stay together.

    Images that are identical but labelled differently go by the label of the first.
    """
    strata = crops.truth[crops.labelling]
    group, first = _groups(crops)
    mask = np.zeros(len(first), dtype=bool)
    sizes = np.bincount(group, minlength=len(first))
    for stratum in np.unique(strata):
        mine = np.flatnonzero(strata[first] == stratum)
        wanted = round(HELD_OUT_SHARE * sizes[mine].sum())
        for index in np.random.default_rng((seed, int(stratum) + 1)).permutation(mine):
            if sizes[index] <= wanted:
                mask[index] = True
                wanted -= sizes[index]
    return np.asarray(mask[group])


def _groups(crops: LabelledCrops) -> tuple[np.ndarray, np.ndarray]:
    """The number of each image's group of identical images (N,), and the first image of each group."""
    numbers: dict[bytes, int] = {}
    group = np.array([numbers.setdefault(key, len(numbers)) for key in image_keys(crops.images)], dtype=int)
    return group, np.unique(group, return_index=True)[1]


def _check(crops: LabelledCrops, least: int, what: str, may_lack: bool) -> None:
    """Raise DataError unless every label has ``least`` different images, or none if it may lack them."""
    _, first = _groups(crops)
    counts = np.bincount(crops.truth[crops.labelling][first] + 1, minlength=len(crops.labels) + 1)[1:]
    if len(crops.labels) < 2 or not counts.any():
        raise DataError(f"{what} at least two classes are needed; received {', '.join(crops.labels) or 'none'}.")
    _refuse_few(dict(zip(crops.labels, counts, strict=True)), least, what, may_lack)


def _refuse_few(counts: Mapping[str, int], least: int, what: str, may_lack: bool) -> None:
    few = [f"{label} has {count}" for label, count in counts.items() if count < least * (not may_lack or count > 0)]
    if few:
        needed = f"{least}, or none" if may_lack else str(least)
        fix = "Add images, or take those few away." if may_lack else "Add images or leave the class out."
        raise DataError(f"{what} every class needs at least {needed}; {', '.join(few)}. {fix}")


def in_turn(truth: np.ndarray) -> np.ndarray:
    """The rows with a label, of ``truth`` (N,) with -1 for none, in an order that takes the labels in turn."""
    turn = np.zeros(len(truth), int)
    for label in np.unique(truth):
        turn[truth == label] = np.arange((truth == label).sum())
    order = np.lexsort((truth, turn))
    return np.asarray(order[truth[order] >= 0])
