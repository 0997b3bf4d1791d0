"""A data set as a tree of folders: one per class, or one per part (train, val, test) with one per class in each."""

import os
from collections.abc import Iterator
from pathlib import Path

from model.data.image_files import LabelledFile
from model.data.parts import ALL, part_named
from model.errors import DataError

_NOT_OURS = ("__MACOSX", "@eaDir")
"""What archivers and file servers leave in a folder."""


def find_files(root: Path) -> tuple[list[LabelledFile], list[str]]:
    """All files of the tree in the order of their paths, and the names of the classes that have none.

    Hidden files and folders do not count. A class folder may have folders of its own. Raises DataError if there are
    no class folders, or parts and classes side by side.
    """
    folders = _folders(root)
    parts = {folder: part_named(folder.name) for folder in folders}
    if not folders:
        raise DataError(f"{root}: expected one folder per class, such as joy/ and anger/, with images in each.")
    if all(part is not None for part in parts.values()):
        classes = [(str(part), folder) for top, part in parts.items() for folder in _folders(top)]
    elif any(part is not None for part in parts.values()):
        named = ", ".join(folder.name for folder, part in parts.items() if part is not None)
        raise DataError(f"{root}: has class folders beside {named}. Expected either classes or parts, not both.")
    else:
        classes = [(ALL, folder) for folder in folders]
    name = root.resolve().name
    files = [LabelledFile(path, folder.name, part, name) for part, folder in classes for path in _files(folder)]
    return files, sorted({folder.name for _, folder in classes} - {file.name for file in files})


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and _counts(path.name))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(filter(_counts, folders))
        yield from (Path(place, name) for name in sorted(filter(_counts, names)))


def _counts(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_OURS and name != "Thumbs.db"
