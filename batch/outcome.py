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


FAILED = (Status.UNREADABLE, Status.TOO_LARGE, Status.DENIED, Status.CRASHED)


class Key(NamedTuple):
    """An image's identity in the output: its root and its path below it, both as ``batch.names`` writes them."""

    root: str
    path: str


class Found(NamedTuple):
    """An image file as the walk found it."""

    key: Key
    size_bytes: int
    modified_ns: int


class Box(NamedTuple):
    """A bounding box in pixels, and the probability that it holds a face."""

    x: float
    y: float
    width: float
    height: float
    score: float


@dataclass(frozen=True)
class Outcome:
    """What became of one image.

    ``width``, ``height`` and ``boxes`` are in pixels of the upright full-size image; ``crops`` is (faces, 48, 48)
    uint8 gray, in the order of ``boxes``; ``probabilities`` (faces, labels) is None until the CNN has seen them.
    As long as the faces are to be verified there are ``patches`` (faces, 72, 72) instead of crops: the boxes with
    their surroundings.
    ``seconds`` is the time spent by stage in the worker.
    """

    found: Found
    status: Status
    error: str | None = None
    width: int | None = None
    height: int | None = None
    taken_at: datetime | None = None
    boxes: tuple[Box, ...] = ()
    crops: np.ndarray = field(default_factory=lambda: np.empty((0, 48, 48), np.uint8))
    patches: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    doubtful: bool = False
    """Whether what became of it may be the machine's fault, or ours, if it becomes of many in a row."""

    @property
    def largest_first(self) -> list[int]:
        """Indices of the faces in the order in which they are numbered."""
        return sorted(range(len(self.boxes)), key=lambda i: (-self.boxes[i].width * self.boxes[i].height, i))


class Setback(NamedTuple):
    """An image that cannot be read for now, by no fault of its own: that is no outcome, and gives no row."""

    found: Found
    reason: str


Result = Outcome | Setback
