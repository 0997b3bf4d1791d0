"""The rows that the page's script filters: one per face, and one per image without a face."""

import base64
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from batch.names import from_text
from batch.roots import open_root
from batch.roots.folder import Folder

_NO_DAY = -(2**31)


@dataclass(frozen=True)
class Rows:
    """Faces and images of an output, both sorted by root and path, with what the page tells of them as codes."""

    faces: pd.DataFrame
    images: pd.DataFrame
    labels: list[str]

    @cached_property
    def label(self) -> np.ndarray:
        """The label of each face, as an index into ``labels``."""
        return np.asarray(pd.Categorical(self.faces["emotion"].astype(str), categories=self.labels).codes, np.int64)

    @cached_property
    def image(self) -> np.ndarray:
        """The image of each face, as an index into ``images``."""
        keys = pd.MultiIndex.from_frame(self.images[["root", "path"]])
        return np.asarray(keys.get_indexer(pd.MultiIndex.from_frame(self.faces[["root", "path"]])), np.int64)

    @cached_property
    def _folders(self) -> tuple[np.ndarray, "pd.MultiIndex"]:
        folders = [path.rpartition("/")[0] for path in self.images["path"]]
        pairs = pd.MultiIndex.from_arrays([self.images["root"], folders])
        codes, unique = pairs.factorize()
        return np.asarray(codes, np.int64), unique

    @property
    def folder(self) -> np.ndarray:
        """The folder of each image, as an index into ``folder_names``."""
        return self._folders[0]

    @cached_property
    def _shown_roots(self) -> dict[str, str]:
        """What stands for each root before its folders: of several, names as short as they stay apart."""
        roots = list(dict.fromkeys(self.images["root"]))
        short = [root.rstrip("/").rpartition("/")[2] for root in roots]
        apart = len(set(short)) == len(roots)
        return dict(zip(roots, short if apart else roots, strict=True)) if len(roots) > 1 else dict.fromkeys(roots, "")

    @cached_property
    def folder_names(self) -> list[str]:
        """The folders below their root; with several roots, these come first."""
        shown = self._shown_roots
        return ["/".join(filter(None, (shown[root], path))) or "." for root, path in self._folders[1]]

    def packed(self, page: Path) -> dict[str, Any]:
        """Everything as JSON can hold it, for ``report.js``; ``page`` is where links to photographs start from."""
        faces, images = self.faces, self.images
        seconds = images["taken_at"].astype("datetime64[s]")
        days = seconds.to_numpy().astype("datetime64[D]").astype(np.int64)
        statuses = list(dict.fromkeys(images["status"].astype(str)))
        roots = list(self._shown_roots)
        return {
            "labels": self.labels,
            "statuses": statuses,
            "folders": [path for _, path in self._folders[1]],
            "rootOf": [roots.index(root) for root, _ in self._folders[1]],
            "roots": [{"name": root, "shown": self._shown_roots[root], "link": _link(root, page)} for root in roots],
            "names": [path.rpartition("/")[2] for path in images["path"]],
            "odd": {i: _quoted(path) for i, path in enumerate(images["path"]) if "\\" in path},
            "folder": _packed(self.folder),
            "status": _packed(images["status"].astype(str).map(statuses.index)),
            "day": _packed(np.where(seconds.isna(), _NO_DAY, days)),
            "tall": _packed((images["width"] < images["height"]).fillna(False)),
            "faces": _packed(np.bincount(self.image, minlength=len(images))),
            "label": _packed(self.label),
            "confidence": _packed(np.rint(faces["confidence"] * 1000)),
            **{name: _packed(faces[name]) for name in ("x", "y", "width", "height")},
        }


def _packed(values: Any) -> dict[str, str]:
    """Whole numbers as base64 of the narrowest little-endian array that holds them, and its JavaScript name."""
    numbers = np.asarray(values, np.int64)
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    kinds = {"Uint8": "u1", "Uint16": "<u2", "Int32": "<i4"}
    fits = [name for name, kind in kinds.items() if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max]
    return {"kind": fits[0], "base64": base64.b64encode(numbers.astype(kinds[fits[0]]).tobytes()).decode()}


def _quoted(path: str) -> str:
    return quote(os.fsencode(from_text(path)))


def _link(root: str, page: Path) -> str | None:
    """The URL of a folder as seen from the page, ending in ``/``; None for roots that no browser opens."""
    opened = open_root(root)
    if not isinstance(opened, Folder):
        return None
    return quote(os.fsencode(os.path.relpath(opened.path, page.absolute().parent))) + "/"


def link_of(root: str, path: str, page: Path) -> str | None:
    """The URL of an image as seen from the page, if a browser can follow it."""
    folder = _link(root, page)
    return None if folder is None else folder + _quoted(path)
