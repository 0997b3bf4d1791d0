"""What a worker does with an image: read, decode, find faces, cut them out. No image ever leaves it."""

import faulthandler
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from batch.detection.boxes import is_within_reason
from batch.detection.crop import crop_faces, cut_patches
from batch.detection.detect import Detector, build_detector
from batch.images.decode import Photograph, read_photograph
from batch.outcome import Box, Found, ImageError, Outcome, Status
from batch.roots import image_source, open_root
from batch.settings import DetectorSettings, WorkerSettings


def annotate_chunk(chunk: list[Found], settings: WorkerSettings) -> list[Outcome]:
    """The outcome of each image of a chunk, in order. In a worker process each is given its time and no more."""
    outcomes = []
    for root in {found.key.root for found in chunk}:
        open_root(root).prepare()
    for found in chunk:
        with time_limit(settings.image_timeout):
            outcomes.append(annotate_image(found, settings))
    unread = [outcome for outcome in outcomes if outcome.status in (Status.UNREADABLE, Status.DENIED)]
    for root in {outcome.found.key.root for outcome in unread}:
        open_root(root).check_still_there()
    return outcomes


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process, if it is a worker, when what is within takes longer, also inside native code."""
    if multiprocessing.current_process().name == "MainProcess":
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def annotate_image(found: Found, settings: WorkerSettings) -> Outcome:
    """Read an image and propose its faces; whatever is wrong with the image becomes its status."""
    started = time.perf_counter()
    try:
        photograph = read_photograph(image_source(found.key), settings.max_pixels, settings.enough)
        decoded = time.perf_counter()
        with _memory_for(photograph):
            boxes, crops, patches = find_faces(photograph, shared_detector(settings.detector), settings.detector)
    except ImageError as error:
        seconds = {"decode": time.perf_counter() - started}
        return Outcome(found, error.status, error.reason, error.width, error.height, seconds=seconds)
    seconds = {"decode": decoded - started, "detect": time.perf_counter() - decoded}
    return Outcome(
        found,
        Status.OK if boxes else Status.NO_FACE,
        width=photograph.width,
        height=photograph.height,
        taken_at=photograph.taken_at,
        boxes=tuple(boxes),
        crops=crops,
        patches=patches,
        seconds=seconds,
    )


@contextmanager
def _memory_for(photograph: Photograph) -> Iterator[None]:
    """Turn OpenCV's and NumPy's lack of memory into an ImageError: it costs that image."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        reason = "not enough memory to find the faces in it"
        raise ImageError(Status.TOO_LARGE, reason, photograph.width, photograph.height) from error


def find_faces(
    photograph: Photograph, detector: Detector, settings: DetectorSettings
) -> tuple[list[Box], np.ndarray, np.ndarray | None]:
    """Detect on a shrunken image, cut out of the decoded one: boxes in full-size pixels, their crops, or patches."""
    gray = photograph.gray
    rows, columns = gray.shape
    seen = shrunken(gray, settings.detect_size)
    across, down = columns / seen.shape[1], rows / seen.shape[0]
    found = [box for box in detector.detect(seen) if is_within_reason(box, seen)]
    if not settings.verified:
        found = [box for box in found if box.score >= settings.threshold]
    decoded = [_scaled(box, across, down) for box in found]
    boxes = [_scaled(box, photograph.width / columns, photograph.height / rows) for box in decoded]
    if settings.verified:
        return boxes, crop_faces(gray, []), cut_patches(gray, decoded)
    return boxes, crop_faces(gray, decoded), None


def shrunken(gray: np.ndarray, long_side: int) -> np.ndarray:
    """The image as the detector sees it; never enlarged.

    Halved first, where averages of 2 x 2 pixels are cheap: to average all pixels at once takes longer.
    """
    rows, columns = gray.shape
    shrink = long_side / max(rows, columns)
    if shrink >= 1:
        return gray
    size = (max(1, round(columns * shrink)), max(1, round(rows * shrink)))
    while min(gray.shape[0] // size[1], gray.shape[1] // size[0]) >= 2:
        rows, columns = (length // 2 for length in gray.shape)
        gray = cv2.resize(gray[: 2 * rows, : 2 * columns], (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA))


def _scaled(box: Box, across: float, down: float) -> Box:
    return Box(box.x * across, box.y * down, box.width * across, box.height * down, box.score)


@lru_cache(maxsize=4)
def shared_detector(settings: DetectorSettings) -> Detector:
    """The detector of this process with these settings, built once."""
    cv2.setNumThreads(1)  # one worker per core already
    return build_detector(settings)
