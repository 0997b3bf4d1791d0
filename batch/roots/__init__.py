"""Roots: folders, archives and object stores, each listed and read in its own way."""

import os
import re
from pathlib import Path

from batch.names import from_text, to_text
from batch.outcome import Key
from batch.roots.archive import Archive, is_archive
from batch.roots.folder import Folder
from batch.roots.root import ImageSource, Root, Version
from batch.roots.store import Store

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def open_root(root: Path | str) -> Root:
    """The root at an absolute path, or as the output writes it. Costs nothing for a folder: its name tells."""
    name = root if isinstance(root, str) else to_text(str(root))
    if _URL.match(name):
        return Store(name)
    if is_archive(name) and not os.path.isdir(from_text(name)):
        return Archive(name)
    return Folder(name)


def typed_root(text: str) -> Root:
    """The root that a person means: a path, made absolute, or a URL."""
    scheme = _URL.match(text)
    if scheme:
        return open_root(to_text(scheme[0].lower() + text[scheme.end() :].rstrip("/")))
    return open_root(Path(os.path.abspath(text)))  # resolve() would follow links


def image_source(key: Key, version: Version | None = None) -> ImageSource:
    """What the image is read from; ``version``, its size and time, tells which one where its name may not."""
    return open_root(key.root).source(key.path, version)


def picture_place(key: Key) -> Path:
    """Where the image lies, as an absolute path by which a picture of it can be filed; never above its root's."""
    parts = from_text(key.path).split("/")
    return open_root(key.root).place.joinpath(*(part for part in parts if part not in ("", ".", "..")))
