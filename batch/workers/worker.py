"""What a worker does with an image: read, decode, find faces, verify and label them. No image ever leaves it."""

import faulthandler
import multiprocessing
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np

from batch.detection.boxes import within_reason
from batch.detection.crop import crop_faces, cut_patches
from batch.detection.detect import Detector, build_detector
from batch.detection.faces import CLASSIFY, VERIFY, answered, labelled_faces
from batch.detection.networks import Network, onnx_classifier, without_label
from batch.detection.quality import measure_faces
from batch.errors import DetectorError
from batch.faults import TransientError, may_heal
from batch.images.decode import Photograph, read_photograph
from batch.outcome import VANISHED, ImageError, ImageFile, Outcome, Proposals, Result, Setback, Status, Waiting
from batch.roots import image_source, open_root
from batch.roots.root import ImageSource
from batch.roots.walk import version_of
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings
from batch.workers.fetching import StoreGivenUp, fetched, forget_outages, store_was_out

_COARSEST = 2 * 10**9
"""Nanoseconds by which two machines may differ about the time of one file: FAT has the coarsest clock."""


def annotate_each(chunk: list[ImageFile], settings: WorkerSettings) -> Iterator[Result | Waiting]:
    """What became of each image, as it comes. In a worker process each is given its time and no more.

    Fetching from a store is no part of that time: a store that does not answer is waited for, and that is told.
    Raises DetectorError or NetworkError if a file cannot be used, also of no images at all, with which a run begins, so
    that whoever waits for the end knows the process for sound.
    """
    _make_ready(settings)
    if not chunk:
        forget_outages()
    for root in {found.key.root for found in chunk}:
        open_root(root).prepare()
    for found in chunk:
        try:
            source = yield from fetched(found, settings.store_timeout)
            with time_limit(settings.image_timeout):
                result = annotate_image(found, settings, source)
            if isinstance(result, Outcome) and result.status in (Status.UNREADABLE, Status.DENIED):
                yield from store_was_out(found.key.root, settings.store_timeout)
        except StoreGivenUp as error:
            result = Setback(found, str(error), given_up=True)
        except TransientError as error:
            result = Setback(found, str(error))
        yield result


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """End this process, if it is a worker, when what is within takes longer, also inside native code.

    Raises TransientError where the system starts no thread to watch over it.
    """
    if multiprocessing.current_process().name == "MainProcess":
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        try:
            faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        except RuntimeError as error:
            told = "the system starts no more threads (ulimit -u, or a container's pids limit)"
            raise TransientError(told) from error
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def annotate_image(found: ImageFile, settings: WorkerSettings, source: ImageSource | None = None) -> Result:
    """Read an image (from ``source`` if it was fetched), find its faces, label them if that is to be done here.

    Whatever is wrong with the image becomes its status.
    """
    started = time.perf_counter()
    try:
        source = source or image_source(found.key, found.version)
        found = _as_it_is_now(found, source)
        photograph = read_photograph(source, settings.max_pixels, settings.decode_long_side)
        decoded = time.perf_counter()
        with _blamed_on(photograph):
            found_here = find_faces(photograph, shared_detector(settings.detector), settings.detector)
            seconds = {"decode": decoded - started, "detect": time.perf_counter() - decoded}
            size = photograph.width, photograph.height
            proposals = Proposals(found, *size, photograph.taken_at, *found_here, seconds)
            if settings.networks is None:
                return proposals
            asking = labelled_faces(proposals, settings.detector, settings.crops)
            return answered(asking, partial(shared_network, settings.networks))
    except TransientError as error:
        return Setback(found, str(error))
    except ImageError as error:
        seconds = {"decode": time.perf_counter() - started}
        ours = error.status is Status.CRASHED
        return Outcome(found, error.status, error.reason, error.width, error.height, seconds=seconds, doubtful=ours)


def _as_it_is_now(found: ImageFile, source: ImageSource) -> ImageFile:
    """The image file with the size and time of what is read, if that is another one than was listed.

    A row tells of what was read: where another file lies for a while, on another machine's disk, say, the next run
    sees that it is not the one it lists. Raises ImageError for what is no file any more.
    """
    if not isinstance(source, Path):
        return found  # whose root compares
    try:
        status = source.stat()
    except OSError:
        return found  # opening it will tell
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(Status.UNREADABLE, VANISHED)
    size, modified = version_of(status)
    if size == found.size_bytes and abs(modified - found.modified_ns) < _COARSEST:
        return found
    return found._replace(size_bytes=size, modified_ns=modified)


@contextmanager
def _blamed_on(photograph: Photograph) -> Iterator[None]:
    """Turn whatever finding its faces raises into an ImageError: it costs that image, and no other."""
    try:
        yield
    except DetectorError:
        raise
    except Exception as error:  # OpenCV, NumPy and ONNX Runtime have errors of their own
        size = photograph.width, photograph.height
        if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem):
            raise ImageError(Status.TOO_LARGE, "not enough memory to find the faces in it", *size) from error
        if may_heal(error):
            raise TransientError(str(error)) from error
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise ImageError(Status.CRASHED, f"the detector failed on it: {told}", *size) from error


def find_faces(
    photograph: Photograph, detector: Detector, settings: DetectorSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Detect on a shrunken image, cut and measure in the decoded one: what ``Proposals`` has from boxes to quality."""
    gray = photograph.gray
    rows, columns = gray.shape
    seen = shrunken(gray, settings.detect_size)
    boxes, scores = detector.detect(seen)
    kept = within_reason(boxes, seen)
    if not settings.spec.verified:
        kept &= scores >= settings.threshold
    decoded = boxes[kept] * np.tile([columns / seen.shape[1], rows / seen.shape[0]], 2)
    cut = cut_patches if settings.spec.verified else crop_faces
    full = decoded * np.tile([photograph.width / columns, photograph.height / rows], 2)
    return full, scores[kept], cut(gray, decoded), measure_faces(gray, decoded)


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


@lru_cache(maxsize=4)
def _make_ready(settings: WorkerSettings) -> None:
    """Build what this process needs for these settings, and try it."""
    shared_detector(settings.detector).detect(np.zeros((64, 64), np.uint8))
    if settings.networks:
        for name in (VERIFY, CLASSIFY):
            shared_network(settings.networks, name)


@lru_cache(maxsize=4)
def shared_detector(settings: DetectorSettings) -> Detector:
    """The detector of this process with these settings, built once."""
    cv2.setNumThreads(1)  # one worker per core already
    return build_detector(settings)


@lru_cache(maxsize=4)
def shared_network(files: NetworkFiles, name: str) -> Network:
    """The network of this process that verifies or that classifies, built once."""
    if name == VERIFY and files.verifier:
        return onnx_classifier(files.verifier)
    emotions = onnx_classifier(files.emotions)
    return emotions if files.left_out is None else without_label(emotions, files.left_out)
