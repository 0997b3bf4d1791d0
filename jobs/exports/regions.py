"""Where a face lies in its image as the image is stored, before its EXIF orientation is applied."""

from typing import Any, NamedTuple


class Area(NamedTuple):
    """A rectangle as shares of an image's width and height: its centre, and its sides."""

    x: float
    y: float
    width: float
    height: float


def stored_area(face: dict[str, Any], width: int, height: int, orientation: int) -> Area:
    """The box of a face, in pixels of the upright image of that size, in the image as it is stored.

    EXIF orientation, CIPA DC-008, 0x0112: what turns the stored image upright, and is undone here.
    """
    x, y = (face["x"] + face["width"] / 2) / width, (face["y"] + face["height"] / 2) / height
    across, down = face["width"] / width, face["height"] / height
    stored = {
        2: (1 - x, y),
        3: (1 - x, 1 - y),
        4: (x, 1 - y),
        5: (y, x),
        6: (y, 1 - x),
        7: (1 - y, 1 - x),
        8: (1 - y, x),
    }
    if orientation >= 5:
        across, down = down, across
    return Area(*stored.get(orientation, (x, y)), across, down)
