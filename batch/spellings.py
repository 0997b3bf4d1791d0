"""Images whose names are spelled in another way than when they were annotated, as zips may leave it open."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from batch.roots.root import Version
from batch.tables.snapshot import KnownImage


def renamed_paths(known: Sequence[KnownImage], guessed: Mapping[str, Version]) -> dict[str, str]:
    """The paths of known images that are not among the ``guessed`` ones, with such of them as no known image has.

    Size, time and checksum are the same, so that a row holds for the image of the other path as well.
    """
    without_row = defaultdict(list)
    for path in sorted(guessed.keys() - {image.path for image in known}, reverse=True):
        without_row[guessed[path]].append(path)
    return {
        image.path: paths.pop()
        for image in known
        if not image.stale
        and image.path not in guessed
        and _may_be_spelled_otherwise(image.path)
        and (paths := without_row.get((image.size_bytes, image.modified_ns)))
    }


def _may_be_spelled_otherwise(path: str) -> bool:
    """Whether there is a letter or a byte in it that is not ASCII's."""
    return not path.isascii() or "\\" in path
