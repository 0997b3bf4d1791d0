"""Which images a model was trained on, as its JSON remembers them, and what of a data set is left to measure it by."""

import base64
from typing import Any

import numpy as np

from model.data.crops import LabelledCrops, image_keys, joined
from model.data.datasets import DataSet, select_part
from model.data.parts import ALL, TEST, TRAIN, VALIDATION
from model.errors import DataError

_BYTES = 4
"""Of each image's key: one image in a hundred thousand is then taken for one of a million."""


def remembered(crops: LabelledCrops) -> str:
    """What a model's JSON keeps of the images it was trained on: the beginnings of their keys, in Base64."""
    return base64.b64encode(b"".join(sorted({key[:_BYTES] for key in image_keys(crops.images)}))).decode()


def trained_on(crops: LabelledCrops, facts: dict[str, Any]) -> np.ndarray:
    """Which of the crops stood in the training of the model that has these facts, mirrored or not: a mask (N,)."""
    sets = facts.get("data", {}).values()
    kept = b"".join(base64.b64decode(each.get("trained_on", "")) for each in sets if isinstance(each, dict))
    known = {kept[start : start + _BYTES] for start in range(0, len(kept), _BYTES)}
    return np.array([key[:_BYTES] in known for key in image_keys(crops.images)], dtype=bool)


def to_measure_by(each: DataSet, usage: str | None, facts: dict[str, Any]) -> tuple[str, LabelledCrops]:
    """The part of a data set to measure a model by, and its name.

    By default what the data set holds out itself (test, else val); of one without parts what the model was not trained
    on, which is the fifth that its training held out, or all. ``usage`` names another part, or "all" for everything.
    Raises DataError if there is no such part, or nothing is left.
    """
    if usage is not None and usage.casefold() == ALL:
        return ALL, joined(list(each.parts.values()))
    if usage is not None:
        return usage, select_part(each.parts, usage, each.source)
    for part in (TEST, VALIDATION):
        if part in each.parts:
            return part, each.parts[part]
    crops = each.parts[ALL if ALL in each.parts else TRAIN]
    seen = trained_on(crops, facts)
    if len(crops) and seen.all():
        raise DataError(f"{each.source}: the model was trained on all of these images; --usage all measures it there.")
    return ("held out" if seen.any() else ALL), crops.take(~seen)
