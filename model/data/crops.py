"""Labelled face crops in memory."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

CROP_SIZE = 48
"""Side of the square gray crop that every network of this project takes, in pixels (FER2013's format)."""

OWN = "emotion"
"""The labelling that a data set comes with. FER+'s crowd votes are another one of FER2013, ``votes``."""
VOTES = "votes"


@dataclass(frozen=True)
class LabelledCrops:
    """Face crops with one or several labellings.

    ``images`` is (N, side, side) uint8: crops of 48 pixels, or larger images with such a crop in the middle and its
    surroundings about it. ``targets[name]`` is (N, labels) float32, each row a distribution over
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
    def crops(self) -> np.ndarray:
        """The crops alone (N, 48, 48): what a network sees of the images where there are no variants."""
        return middle(self.images)

    @property
    def labelling(self) -> str:
        """The labelling that counts: the crowd votes where there are some."""
        return VOTES if VOTES in self.truth else OWN

    @property
    def labelling_to_learn(self) -> str:
        """The labelling that counts in training: the only one, or the one that counts."""
        return self.labelling if self.labelling in self.targets else next(iter(self.targets))

    def take(self, rows: np.ndarray) -> "LabelledCrops":
        """The given rows (indices or a mask), in that order."""
        return LabelledCrops(
            self.images[rows],
            self.labels,
            {name: target[rows] for name, target in self.targets.items()},
            {name: weight[rows] for name, weight in self.weights.items()},
            {name: truth[rows] for name, truth in self.truth.items()},
        )

    def mixed(self, shares: dict[str, float]) -> "LabelledCrops":
        """The same crops with one labelling to learn, ``emotion``: those of ``shares`` (sum 1), mixed.

        A row counts as much as its labels do together, and its target is their mean, weighted by how much each counts.
        """
        weight, target = np.zeros(len(self)), np.zeros((len(self), len(self.labels)))
        for name, share in shares.items():
            weight += share * self.weights[name]
            target += share * self.weights[name][:, None] * self.targets[name]
        evenly = np.full_like(target, 1 / len(self.labels))
        target = np.divide(target, weight[:, None], out=evenly, where=weight[:, None] > 0)
        return replace(self, targets={OWN: target.astype("float32")}, weights={OWN: weight.astype("float32")})

    def fingerprint(self) -> str:
        """SHA-256 over the crops, the names of the labels and every labelling, in their order."""
        crops = self.crops
        digest = hashlib.sha256(repr((self.labels, crops.shape)).encode())
        digest.update(crops.tobytes())
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


def joined(parts: Sequence[LabelledCrops]) -> LabelledCrops:
    """Several sets with the same labels and labellings as one."""

    def columns(what: str) -> dict[str, np.ndarray]:
        return {name: np.concatenate([getattr(part, what)[name] for part in parts]) for name in getattr(parts[0], what)}

    images = np.concatenate([part.images for part in parts])
    return LabelledCrops(images, parts[0].labels, columns("targets"), columns("weights"), columns("truth"))


def middle(images: np.ndarray) -> np.ndarray:
    """The crops (N, 48, 48) in the middle of images (N, side, side)."""
    margin = (images.shape[1] - CROP_SIZE) // 2
    return images[:, margin : margin + CROP_SIZE, margin : margin + CROP_SIZE]


def image_keys(images: np.ndarray) -> np.ndarray:
    """A key per crop (N,), equal for identical crops and for mirror images of each other."""
    keys = np.empty(len(images), dtype=object)
    for index, crop in enumerate(middle(images)):
        keys[index] = hashlib.blake2b(min(crop.tobytes(), crop[:, ::-1].tobytes()), digest_size=16).digest()
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
