"""What --crops and --draw ask for, made of the tables once they are published."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batch.names import number_of
from batch.pictures.annotated import Pictures, annotated_images, write_pictures
from batch.pictures.crop_files import CropFiles
from batch.pictures.drawn_copies import DrawnCopies
from batch.roots import open_root
from batch.roots.walk import WalkSettings
from batch.tables.snapshot import read_snapshot
from jobs.annotation.run_report import LOG_EVERY_SECONDS
from jobs.signals import end_if_signalled

log = logging.getLogger("annotate.job")


def write_missing_pictures(
    output: Path,
    identity: dict[str, Any],
    folders: tuple[Path | None, Path | None],
    roots: tuple[Path | str, ...],
    walk: WalkSettings,
    jobs: int,
    show: Callable[[str], None],
) -> None:
    """Write the crops and the drawn copies that ``folders`` lack, of all images of these roots, new or known.

    None at all while the tables are still another model's. ``show`` is told how far it is. Raises OutputError.
    """
    if read_snapshot(output).identity != identity:
        return
    opened, labels = [open_root(root) for root in roots], tuple(identity["labels"])
    parent = Path(os.path.commonpath([root.place for root in opened]))
    walks = {root.name: walk.of_root(root.name) for root in opened}
    crops, draw = folders
    pictures: list[Pictures] = [
        *([CropFiles(crops, parent, labels)] if crops else []),
        *([DrawnCopies(draw, parent, labels)] if draw else []),
    ]
    known = annotated_images(output, labels)
    asked = (one for one in known if one.key.root in walks and walks[one.key.root].wants(one.key.path))
    said = time.monotonic()
    for done, _ in enumerate(write_pictures(pictures, asked, jobs), 1):
        end_if_signalled()
        how_far = f"{number_of(done, 'image')} drawn or cut out"
        show(how_far)
        if time.monotonic() - said >= LOG_EVERY_SECONDS:
            said = time.monotonic()
            log.info("%s", how_far)
    for what, folder in (("crops of the faces", crops), ("copies with boxes and labels", draw)):
        if folder:
            log.info("%s: %s", what, folder)
