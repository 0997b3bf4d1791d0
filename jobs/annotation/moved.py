"""Roots that have moved: --moved against what the output holds, and what is said of it."""

import logging
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path

from batch.errors import OutputError, RootError
from batch.roots import open_root
from batch.roots.walk import WalkSettings
from batch.tables.moves import Move, lies_in, move_of
from batch.tables.snapshot import KnownImage

log = logging.getLogger("annotate.job")

_LOOKED_AT = 20
"""Images of a new root that are looked for among the known ones."""


def check_moved(moves: tuple[Move, ...], known: Collection[str], output: Path) -> None:
    """Raise OutputError for a move of a root of which the output holds no images, unless it holds those of the new."""
    for move in moves:
        if any(move_of(root, moves) == move for root in known):
            continue
        if not any(lies_in(root, move.new) for root in known):
            held = f"but of {', '.join(sorted(known)[:10])}" if known else "nor any others"
            raise OutputError(
                f"{output} holds no images of {move.old}, which --moved names, {held}. Name a root as the output does, "
                "or a folder above it, or leave --moved out."
            )
        log.info("no rows of %s are left, those of %s are there (--moved)", *move)


def say_moved(moved: dict[str, str], dry_run: bool = False) -> None:
    """Say which roots have moved."""
    if moved:
        old, new = min(moved.items())
        more = f", and those of {len(moved) - 1} more" if len(moved) > 1 else ""
        would = ("dry run: ", "would follow") if dry_run else ("", "follow")
        log.info("%sthe rows of %s %s to %s%s (--moved)", would[0], old, would[1], new, more)


def say_perhaps_moved(
    roots: Iterable[Path | str], walk: WalkSettings, filled: Collection[str], known: Iterable[KnownImage]
) -> None:
    """Name --moved if no root of the output is there any more, and the images of a new one are those of one of them."""
    new = [root for root in map(open_root, roots) if root.name not in filled and not root.is_remote]
    if not new or not filled or any(root.is_remote or root.place.exists() for root in map(open_root, filled)):
        return
    with suppress(RootError):  # which the plan tells
        seen = {}
        for root in new:
            for found in islice(root.images(walk.of_root(root.name)), _LOOKED_AT):
                seen[found.key.path, *found.version] = root.name
        pairs = Counter((image.root, seen[image[1:4]]) for image in known if image[1:4] in seen)
        for (old, now), count in pairs.most_common(1):
            if 2 * count > min(len(seen), _LOOKED_AT):
                log.warning(
                    "%s is not there any more, and %s has the same images. If it has moved, stop this run and give "
                    "--moved '%s=%s': its rows follow, and nothing is annotated anew",
                    *(old, now, old, now),
                )
