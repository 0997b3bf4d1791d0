"""Single photographs as roots: each an image of a folder, with the same row by whichever way it comes."""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from batch.names import from_text, to_text
from batch.outcome import Key
from batch.roots import open_root
from batch.roots.folder import Folder
from batch.roots.root import is_hidden
from batch.tables.moves import where_now
from batch.tables.snapshot import published_roots, read_snapshot
from jobs.annotation.settings import AnnotationSettings


def with_photographs(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with each single photograph below a root, of which nothing else is taken in.

    That is a root that is named as well, and then the photograph comes with it anyhow; else the innermost one that the
    output holds images of; else the outermost folder of a photograph that is named. Raises OutputError.
    """
    if not settings.photographs:
        return settings
    known = {where_now(root, settings.moved) for root in published_roots(read_snapshot(settings.output))}
    photographs = [Path(from_text(photograph)) for photograph in settings.photographs]
    named, held = _folders(settings.roots), sorted(_folders(known), key=_depth, reverse=True)
    own = sorted({photograph.parent for photograph in photographs}, key=_depth)
    keys = set()
    for photograph in photographs:
        if not any(_below(folder, photograph) for folder in named):
            around = ((folder, _below(folder, photograph)) for folder in (*held, *own))
            keys.add(next(Key(to_text(str(folder)), to_text(path)) for folder, path in around if path))
    roots = {*map(str, settings.roots), *(key.root for key in keys)}
    return replace(settings, roots=tuple(sorted(roots)), walk=replace(settings.walk, photographs=frozenset(keys)))


def _folders(roots: Iterable[Path | str]) -> list[Path]:
    return [root.path for root in map(open_root, roots) if isinstance(root, Folder)]


def _depth(folder: Path) -> int:
    return len(folder.parts)


def _below(folder: Path, photograph: Path) -> str | None:
    """The path below the folder by which a walk comes to the photograph, which may be named by way of a link."""
    for place, around in ((photograph, folder), (_real(photograph.parent) / photograph.name, _real(folder))):
        if around in place.parents and not is_hidden(path := place.relative_to(around).as_posix()):
            return path
    return None


def _real(folder: Path) -> Path:
    return Path(os.path.realpath(folder))
