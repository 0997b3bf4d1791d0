"""Where the labels of boxes go, so that they cover neither each other nor a face."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from batch.outcome import Box

_FONT_SIZES = 0.012, 0.024
"""Smallest and largest, in long sides of the picture, and at least ten pixels: readable, and not very unlike."""
Measure = Callable[[str, float], tuple[float, float]]
"""Width and height of a text at a font size."""


class Area(NamedTuple):
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "Area") -> bool:
        """Whether they have a pixel in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def grown(self, by: float) -> "Area":
        """With so much more on each side."""
        return Area(self.left - by, self.top - by, self.right + by, self.bottom + by)


@dataclass(frozen=True)
class Label:
    """What is to be drawn of a face; ``text`` begins with its emotion."""

    box: Box
    text: str
    colour: str


@dataclass(frozen=True)
class PlacedLabel:
    """A text in its place. ``number`` is what it stands for in the legend, where there was no room for more."""

    label: Label
    text: str
    area: Area
    font_size: float
    number: int | None = None


def place_labels(labels: list[Label], size: tuple[int, int], measure: Measure) -> list[PlacedLabel]:
    """A place for each label in a picture of that size, largest faces first; a box without room has none.

    What there is room for is taken: the whole text or else a number, each in two sizes. Where there is a choice, it is
    so far from the boxes of others that it is plain whose it is.
    """
    faces = [_area(label.box) for label in labels]
    taken: list[Area] = []
    placed: list[PlacedLabel] = []
    for index in sorted(range(len(labels)), key=lambda i: -labels[i].box.width * labels[i].box.height):
        others = faces[:index] + faces[index + 1 :]
        number = 1 + sum(one.number is not None for one in placed)
        one = next(_fitting(labels[index], number, others, taken, size, measure), None)
        if one is not None:
            placed.append(one)
            taken.append(one.area)
    return placed


def _fitting(
    label: Label, number: int, others: list[Area], taken: list[Area], size: tuple[int, int], measure: Measure
) -> Iterator[PlacedLabel]:
    smallest, largest = (max(10.0, share * max(size)) for share in _FONT_SIZES)
    font_size = min(max(0.22 * label.box.width, smallest), largest)
    for text, apart in product((label.text, str(number)), (True, False)):
        for points in dict.fromkeys((font_size, smallest)):
            across, down = measure(text, points)
            for left, top in _corners(_area(label.box), across, down):
                area = Area(left, top, left + across, top + down)
                inside = left >= 0 and top >= 0 and area.right <= size[0] and area.bottom <= size[1]
                around = area.grown(down if apart else 0)
                if inside and not any(map(around.meets, others)) and not any(map(area.meets, taken)):
                    yield PlacedLabel(label, text, area, points, number if text == str(number) else None)


def _corners(face: Area, across: float, down: float) -> Iterable[tuple[float, float]]:
    """Where a label may begin: above, below and beside its box, and within it if it covers little of it."""
    ends = (face.left, face.right - across)
    outside = [(x, y) for y in (face.top - down, face.bottom) for x in ends]
    beside = [(x, y) for x in (face.right, face.left - across) for y in (face.top, face.bottom - down)]
    covers = across * down / max(1.0, (face.right - face.left) * (face.bottom - face.top))
    within = [(x, y) for y in (face.top, face.bottom - down) for x in ends] if covers < 0.15 else []
    return [*outside, *beside, *within]


def _area(box: Box) -> Area:
    return Area(box.x, box.y, box.x + box.width, box.y + box.height)
