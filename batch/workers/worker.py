"""What a worker does with an image: read, decode, find faces, verify and label them. No image ever leaves it."""

import faulthandler
import multiprocessing
import os
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
from batch.detection.faces import VERIFY, answered, labelled_faces
from batch.detection.networks import Network, onnx_classifier, without_label
from batch.images.decode import Photograph, read_photograph
from batch.outcome import Found, ImageError, Outcome, Proposals, Result, Status
from batch.roots import image_source, open_root
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings


def annotate_chunk(chunk: list[Found], settings: WorkerSettings) -> list[Result]:
    """The outcome of each image of a chunk, in order. In a worker process each is given its time and no more."""
    outcomes: list[Result] = []
    for root in {found.key.root for found in chunk}:
        open_root(root).prepare()
    for found in chunk:
        with time_limit(settings.image_timeout):
            outcomes.append(annotate_image(found, settings))
    lost = (Status.UNREADABLE, Status.DENIED)
    unread = [one for one in outcomes if isinstance(one, Outcome) and one.status in lost]
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


def annotate_image(found: Found, settings: WorkerSettings) -> Result:
    """Read an image, find its faces, label them if that is to be done here.

    Whatever is wrong with the image becomes its status.
    """
    started = time.perf_counter()
    try:
        photograph = read_photograph(image_source(found.key), settings.max_pixels, settings.enough)
        decoded = time.perf_counter()
        with _memory_for(photograph):
            boxes, scores, cut = find_faces(photograph, shared_detector(settings.detector), settings.detector)
            seconds = {"decode": decoded - started, "detect": time.perf_counter() - decoded}
            size = photograph.width, photograph.height
            proposals = Proposals(found, *size, photograph.taken_at, boxes, scores, cut, seconds)
            if settings.networks is None:
                return proposals
            asking = labelled_faces(proposals, settings.detector, settings.crops)
            return answered(asking, partial(shared_network, settings.networks))
    except ImageError as error:
        seconds = {"decode": time.perf_counter() - started}
        return Outcome(found, error.status, error.reason, error.width, error.height, seconds=seconds)


@contextmanager
def _memory_for(photograph: Photograph) -> Iterator[None]:
    """Turn the libraries' lack of memory into an ImageError: it costs that image."""
    try:
        yield
    except (MemoryError, cv2.error) as error:
        if isinstance(error, cv2.error) and error.code != cv2.Error.StsNoMem:
            raise
        reason = "not enough memory to find the faces in it"
        raise ImageError(Status.TOO_LARGE, reason, photograph.width, photograph.height) from error


def find_faces(
    photograph: Photograph, detector: Detector, settings: DetectorSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Detect on a shrunken image, cut out of the decoded one: what ``Proposals`` has as boxes, scores and cut."""
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
    return full, scores[kept], cut(gray, decoded)


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
