"""Corrections in what Label Studio exports as JSON (https://labelstud.io/guide/export)."""

import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from jobs.corrections.coco import Row
from jobs.corrections.photographs import Photographs
from model.errors import DataError


def is_label_studio(whole: Any) -> bool:
    """Whether it is built like Label Studio's tasks."""
    return isinstance(whole, list) and all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) for task in whole
    )


def rows_of_label_studio(tasks: list[dict[str, Any]], photographs: Photographs) -> Iterator[Row]:
    """A row per labelled rectangle of each task's latest annotation; predictions that nobody submitted are left out.

    Raises KeyError, TypeError or ValueError if something is not Label Studio's.
    """
    for task in tasks:
        submitted = [one for one in task.get("annotations", ()) if not one.get("was_cancelled")]
        if submitted:
            latest = max(submitted, key=lambda one: str(one.get("updated_at") or one.get("created_at") or ""))
            for region in latest["result"]:
                if region["type"] == "rectanglelabels" and region["value"].get("rectanglelabels"):
                    yield (_file(task["data"], photographs), *_labelled_box(region))


def _labelled_box(region: dict[str, Any]) -> tuple[str, float, float, float, float]:
    """Label and box. A rectangle that was turned, which is about its upper left corner, keeps its centre and sides."""
    value, across, down = region["value"], region["original_width"] / 100, region["original_height"] / 100
    width, height = value["width"] * across, value["height"] * down
    angle = math.radians(value.get("rotation") or 0)
    x = value["x"] * across + (width * math.cos(angle) - height * math.sin(angle) - width) / 2
    y = value["y"] * down + (width * math.sin(angle) + height * math.cos(angle) - height) / 2
    return str(value["rectanglelabels"][0]), x, y, width, height


def _file(facts: dict[str, Any], photographs: Photographs) -> str:
    if "root" in facts and "path" in facts:
        return photographs.at(facts["root"], facts["path"])
    url = urlsplit(facts["image"])
    local = parse_qs(url.query).get("d")
    if not local:
        raise DataError(
            f"{photographs.source}: expected tasks of annotate-export, or with local files (/data/local-files/?d=...); "
            f"received the image {facts['image']}."
        )
    return photographs.called(local[0])
