"""Where the labels of boxes go, so that they cover neither each other nor a face."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from batch.outcome import Box

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

    What there is room for is taken: the whole text, the emotion alone, a number, each in two sizes.
    """
    faces = [_area(label.box) for label in labels]
    taken: list[Area] = []
    placed: list[PlacedLabel] = []
    for index in sorted(range(len(labels)), key=lambda i: -labels[i].box.width * labels[i].box.height):
        others = taken + faces[:index] + faces[index + 1 :]
        number = 1 + sum(one.number is not None for one in placed)
        one = next(_fitting(labels[index], number, others, size, measure), None)
        if one is not None:
            placed.append(one)
            taken.append(one.area)
    return placed


def _fitting(
    label: Label, number: int, others: list[Area], size: tuple[int, int], measure: Measure
) -> Iterator[PlacedLabel]:
    font_size, smallest = _font_size(label.box, max(size)), max(10.0, 0.008 * max(size))
    for text in (label.text, label.text.split()[0], str(number)):
        for points in dict.fromkeys((font_size, smallest)):
            across, down = measure(text, points)
            for left, top in _corners(_area(label.box), across, down):
                area = Area(left, top, left + across, top + down)
                inside = left >= 0 and top >= 0 and area.right <= size[0] and area.bottom <= size[1]
                if inside and not any(area.meets(other) for other in others):
                    yield PlacedLabel(label, text, area, points, number if text == str(number) else None)


def _corners(face: Area, across: float, down: float) -> Iterable[tuple[float, float]]:
    """Where a label may begin: above, below and beside its box, and within it if it covers little of it."""
    ends = (face.left, face.right - across)
    outside = [(x, y) for y in (face.top - down, face.bottom) for x in ends]
    beside = [(x, y) for x in (face.right, face.left - across) for y in (face.top, face.bottom - down)]
    covers = across * down / max(1.0, (face.right - face.left) * (face.bottom - face.top))
    within = [(x, y) for y in (face.top, face.bottom - down) for x in ends] if covers < 0.15 else []
    return [*outside, *beside, *within]


def _font_size(box: Box, long_side: int) -> float:
    """A fifth of the face, and readable at any size of the picture."""
    return min(max(0.22 * box.width, 0.014 * long_side, 10), max(0.03 * long_side, 10))


def _area(box: Box) -> Area:
    return Area(box.x, box.y, box.x + box.width, box.y + box.height)
