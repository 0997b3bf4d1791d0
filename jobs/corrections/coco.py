"""Corrections in a COCO file (https://cocodataset.org/#format-data)."""

from collections.abc import Iterator
from typing import Any

from jobs.corrections.photographs import Photographs

Row = tuple[str, str, float, float, float, float]
"""Path, label, x, y, width and height, in pixels of the upright photograph."""


def is_coco(whole: Any) -> bool:
    """Whether it is built like COCO."""
    return isinstance(whole, dict) and {"images", "annotations", "categories"} <= set(whole)


def rows_of_coco(whole: dict[str, Any], photographs: Photographs) -> Iterator[Row]:
    """A row per box; crowds are left out. Raises KeyError, TypeError or ValueError if something is not COCO."""
    names = {category["id"]: str(category["name"]) for category in whole["categories"]}
    files = {image["id"]: _file(image, photographs) for image in whole["images"]}
    for box in whole["annotations"]:
        if not box.get("iscrowd"):
            x, y, width, height = map(float, box["bbox"])
            yield files[box["image_id"]], names[box["category_id"]], x, y, width, height


def _file(image: dict[str, Any], photographs: Photographs) -> str:
    if "root" in image and "path" in image:
        return photographs.at(image["root"], image["path"])
    return photographs.called(image["file_name"])
