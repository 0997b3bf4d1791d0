"""Labelled face crops in memory."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

OWN = "emotion"
"""The labelling that a data set comes with. FER+'s crowd votes are another one of FER2013, ``votes``."""
VOTES = "votes"


@dataclass(frozen=True)
class LabelledCrops:
    """Face crops with one or several labellings.

    ``images`` is (N, 48, 48) uint8. ``targets[name]`` is (N, labels) float32, each row a distribution over
    ``labels``; ``weights[name]`` is (N,) float32, how much a row counts in training; ``truth[name]`` is (N,) int, the
    one true label, or -1 where there is none and the row is left out of an evaluation.
    """

    images: np.ndarray
    labels: tuple[str, ...]
    targets: dict[str, np.ndarray]
    weights: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelling(self) -> str:
        """The labelling that counts: the crowd votes where there are some."""
        return VOTES if VOTES in self.truth else OWN

    def take(self, rows: np.ndarray) -> "LabelledCrops":
        """The given rows (indices or a mask), in that order."""
        return LabelledCrops(
            self.images[rows],
            self.labels,
            {name: target[rows] for name, target in self.targets.items()},
            {name: weight[rows] for name, weight in self.weights.items()},
            {name: truth[rows] for name, truth in self.truth.items()},
        )

    def fingerprint(self) -> str:
        """SHA-256 over the images, the names of the labels and every labelling, in their order."""
        digest = hashlib.sha256(repr((self.labels, self.images.shape)).encode())
        digest.update(self.images.tobytes())
        for name, target in sorted(self.targets.items()):
            digest.update(name.encode() + target.tobytes())
        return digest.hexdigest()


def hard_labelled(images: np.ndarray, truth: np.ndarray, labels: tuple[str, ...]) -> LabelledCrops:
    """Crops (N, 48, 48) with one label each, as indices (N,) into ``labels``."""
    return LabelledCrops(
        images,
        labels,
        {OWN: np.eye(len(labels), dtype="float32")[truth]},
        {OWN: np.ones(len(images), "float32")},
        {OWN: truth},
    )


def image_keys(images: np.ndarray) -> np.ndarray:
    """A key per image (N,), equal for identical images and for mirror images of each other."""
    keys = np.empty(len(images), dtype=object)
    keys[:] = [min(image.tobytes(), image[:, ::-1].tobytes()) for image in images]
    return keys


def without(train: LabelledCrops, *held_out: LabelledCrops) -> LabelledCrops:
    """``train`` less every image that stands in a ``held_out`` set too, mirrored or not."""
    known = {key for crops in held_out for key in image_keys(crops.images)}
    return train.take(np.array([key not in known for key in image_keys(train.images)], dtype=bool))


def balanced(crops: LabelledCrops, labellings: Iterable[str] | None = None) -> LabelledCrops:
    """The same crops with weights under which every label counts the same, 1 on average."""
    weights = dict(crops.weights)
    for name in labellings or crops.targets:
        mass = (crops.targets[name] * crops.weights[name][:, None]).sum(axis=0)
        per_label = np.divide(mass.sum() / np.count_nonzero(mass), mass, out=np.zeros_like(mass), where=mass > 0)
        weights[name] = (crops.weights[name] * (crops.targets[name] @ per_label)).astype("float32")
    return LabelledCrops(crops.images, crops.labels, crops.targets, weights, crops.truth)
