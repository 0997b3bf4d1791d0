"""XMP sidecars: what photo managers read beside a photograph, ``IMG.jpg.xmp`` for ``IMG.jpg``."""

import errno
import logging
import time
from collections import Counter
from pathlib import Path

from batch.errors import OutputError
from batch.faults import TransientError
from batch.images.decode import read_orientation
from batch.outcome import ImageError
from batch.roots import image_source, open_root, picture_place
from batch.roots.folder import Folder
from batch.tables.files import NoPicture, write_picture, writing
from jobs.exports.records import AnnotatedImage, AnnotatedTables
from jobs.exports.regions import stored_area
from jobs.exports.xml_text import XmlError
from jobs.exports.xmp import Region, with_regions

log = logging.getLogger("annotate.export")

_LOG_EVERY_SECONDS = 30.0


def write_sidecars(annotated: AnnotatedTables, folder: Path | None) -> Counter[str]:
    """Write a sidecar for each image with faces, below ``folder`` (None: beside the image); what became of how many.

    A sidecar that is there keeps all that is not ours, and one that is as it should be is not touched. Raises
    RootError if a root is not there, OutputError if a sidecar cannot be written.
    """
    for root in map(open_root, annotated.roots):
        if folder is None and not isinstance(root, Folder):
            raise OutputError(f"--in-place writes into folders, and {root.name} is none. Name a folder with --output.")
        if isinstance(root, Folder) and folder is not None and folder.resolve().is_relative_to(root.path.resolve()):
            raise OutputError(f"{folder} is among the photographs of {root.name}. Name another folder, or --in-place.")
        root.prepare()
        root.check_still_there()
    counts: Counter[str] = Counter()
    said = time.monotonic()
    for image, place in annotated.places():
        if time.monotonic() - said >= _LOG_EVERY_SECONDS:
            said = time.monotonic()
            log.info("%d of %d images done", counts.total(), len(annotated.images))
        photograph = picture_place(image.key) if folder is None else folder / place
        counts[_write_sidecar(image, photograph.with_name(f"{photograph.name}.xmp"))] += 1
    return counts


def _write_sidecar(image: AnnotatedImage, sidecar: Path) -> str:
    old = _read(sidecar)
    if old is None and not image.faces:
        return "with less sure faces alone (--min-confidence)" if image.row["faces"] else "without faces"
    try:
        regions, size = _regions(image)
        new = with_regions(old, regions, size)
    except (ImageError, TransientError) as error:
        log.warning("no sidecar for %s/%s: %s", *image.key, error)
        return "photographs not read"
    except XmlError as error:
        log.warning("left as it is: %s: %s", sidecar, error)
        return "sidecars not understood"
    if new == old:
        return "unchanged"
    try:
        write_picture(sidecar, lambda file: file.write(new))
    except NoPicture as error:
        log.warning("no sidecar for %s/%s: %s", *image.key, error)
        return "with names that no sidecar can have"
    return "written"


def _read(sidecar: Path) -> bytes | None:
    with writing(sidecar):
        try:
            return sidecar.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # writing it will tell
                return None
            raise


def _regions(image: AnnotatedImage) -> tuple[list[Region], tuple[int, int]]:
    """The faces as the image is stored, and its size; raises ImageError if it is not the one that was annotated."""
    if not image.faces:
        return [], (0, 0)
    orientation, *stored = read_orientation(image_source(image.key, image.version))
    width, height = image.row["width"], image.row["height"]
    if (width, height) != tuple(stored if orientation < 5 else reversed(stored)):
        raise ImageError(image.row["status"], "it is another one than the table tells of; run annotate again")
    regions = [
        Region(stored_area(face, width, height, orientation), face["emotion"], face["confidence"])
        for face in image.faces
    ]
    return regions, (stored[0], stored[1])
