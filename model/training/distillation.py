"""Learning from other networks' answers beside the labels."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from model.bundle import ModelCard
from model.data.crops import LabelledCrops
from model.errors import ModelError
from model.inference import Classifier

TAUGHT = 0.5
"""How much of a target comes from the teachers."""
_BATCH = 256


def taught(crops: LabelledCrops, labelling: str, teachers: Iterable[ModelCard]) -> LabelledCrops:
    """The same crops, with half of their ``labelling``'s targets from what the teachers say on average.

    Each teacher answers for the image and its mirror image. A network that learns from soft answers, its own earlier
    ones even, gets better than from labels that people disagree about (Hinton et al. 2015; Furlanello et al. 2018).
    Raises ModelError if a teacher has other labels.
    """
    answers = []
    for card in teachers:
        if card.labels != crops.labels:
            raise ModelError(
                f"{card.path} cannot teach: expected the labels {', '.join(crops.labels)}, "
                f"received {', '.join(card.labels)}."
            )
        teacher = Classifier(card, _BATCH)
        answers += [teacher.predict(images) for images in (crops.crops, crops.crops[:, :, ::-1])]
    targets = (1 - TAUGHT) * crops.targets[labelling] + TAUGHT * np.mean(answers, axis=0)
    return replace(crops, targets={**crops.targets, labelling: targets.astype("float32")})
