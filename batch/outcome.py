"""What goes in and what comes out: the image found, and what became of it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import numpy as np


class Status(StrEnum):
    """What became of an image."""

    OK = "ok"
    NO_FACE = "no_face"
    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    DENIED = "denied"
    CRASHED = "crashed"


class ImageError(Exception):
    """An image that cannot be used, with the status that its row gets."""

    def __init__(self, status: Status, reason: str, width: int | None = None, height: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.width, self.height = status, reason, width, height


VANISHED = "the file has vanished, or is a link that leads nowhere"
"""Why an image is UNREADABLE that was listed and is not there."""

FAILED = (Status.UNREADABLE, Status.TOO_LARGE, Status.DENIED, Status.CRASHED)


class Key(NamedTuple):
    """An image's identity in the output: its root and its path below it, both as ``batch.names`` writes them."""

    root: str
    path: str


class ImageFile(NamedTuple):
    """An image file as the walk found it."""

    key: Key
    size_bytes: int
    modified_ns: int

    @property
    def version(self) -> tuple[int, int]:
        """Which one it is where its name may not tell."""
        return self.size_bytes, self.modified_ns


class Box(NamedTuple):
    """A bounding box, in pixels."""

    x: float
    y: float
    width: float
    height: float


class Quality(NamedTuple):
    """How good a picture of a face is, each from 0 to 1, as ``batch.detection.quality`` measures it."""

    sharpness: float
    brightness: float
    contrast: float


@dataclass(frozen=True)
class Face:
    """A face: its box in pixels of the upright full-size image, the probability that it is one, and its emotions."""

    box: Box
    score: float
    probabilities: np.ndarray
    """(labels,), sum 1."""
    quality: Quality


@dataclass(frozen=True)
class Proposals:
    """An image that was read, and what may be faces in it, before they are verified and their emotions told.

    ``boxes`` (N, 4) are in pixels of the upright full-size image, ``scores`` (N,) the detector's own. ``cut`` has, for
    a detector whose boxes are to be verified, patches (N, 72, 72) uint8 with their surroundings, otherwise crops
    (N, 48, 48) of the faces. ``quality`` (N, 3) is that of what is in each box.
    """

    found: ImageFile
    width: int
    height: int
    taken_at: datetime | None
    boxes: np.ndarray
    scores: np.ndarray
    cut: np.ndarray
    quality: np.ndarray
    seconds: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    ``width`` and ``height`` are pixels of the upright full-size image; ``faces`` the largest first. ``crops`` (faces,
    48, 48) uint8 are what the emotion CNN saw, and left out (0, 48, 48) unless they are asked for. ``seconds`` is the
    time spent by stage.
    """

    found: ImageFile
    status: Status
    error: str | None = None
    width: int | None = None
    height: int | None = None
    taken_at: datetime | None = None
    faces: tuple[Face, ...] = ()
    crops: np.ndarray = field(default_factory=lambda: np.empty((0, 48, 48), np.uint8))
    seconds: dict[str, float] = field(default_factory=dict)
    doubtful: bool = False
    """Whether what became of it may be the machine's fault, or ours, if it becomes of many in a row."""


class Setback(NamedTuple):
    """An image that cannot be read for now, by no fault of its own: that is no outcome, and gives no row."""

    found: ImageFile
    reason: str
    given_up: bool = False
    """Whether its root has not answered for so long that none of its images is to be asked for again in this run."""


class Waiting(NamedTuple):
    """A root that does not answer for now, and is waited for."""

    root: str
    reason: str


Result = Outcome | Proposals | Setback
"""What a worker gives back. Proposals become an outcome in the process that has the GPU."""
