"""The settings of ``annotate`` from its options, as the command and as Python give them."""

import re
from collections.abc import Iterable
from inspect import signature
from pathlib import Path

from batch.roots.walk import CODE_PAGE, WalkSettings
from batch.settings import DETECTORS, DetectorSettings, WorkerSettings
from jobs.annotation.settings import AnnotationSettings
from jobs.devices import Device
from jobs.option_values import (
    AnyPath,
    UsageError,
    apart,
    check_flag,
    check_range,
    cluster_of,
    encoding_of,
    folder_of,
    listed,
    moves_of,
    output_of,
    path_of,
    root_names,
    shard_of,
)
from jobs.shipped import or_shipped
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, GLANCE_MODEL

DETECTOR_VARIABLE = "ANNOTATE_DETECTOR"
"""The environment's word on the detector."""

LEAST = {
    "jobs": 1,
    "batch_size": 1,
    "detect_size": 64,
    "max_pixels": 1,
    "limit": 1,
    "image_timeout": 1.0,
    "store_timeout": 0.0,
    "cluster_timeout": 0.0,
}
"""The least values of the options that count something; seconds need not be whole."""


FLAGS = ("csv", "without_neutral", "follow_symlinks", "retry_failed", "rescan", "prune")
"""The options that are given or not."""


_FOR_EVER = 1e6
"""Seconds, as many as the system's clocks take."""


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def annotation_settings(
    roots: AnyPath | Iterable[AnyPath | Iterable[AnyPath]],
    output: AnyPath = AnnotationSettings.output,
    csv: bool = False,
    jobs: int | None = None,
    batch_size: int = AnnotationSettings.batch_size,
    model: AnyPath | None = None,
    detector: str = DetectorSettings.name,
    detect_size: int = DetectorSettings.detect_size,
    detector_model: AnyPath | None = None,
    face_threshold: float | None = None,
    device: str = Device.AUTO,
    crops: AnyPath | None = None,
    draw: AnyPath | None = None,
    without_neutral: bool = False,
    include: str | Iterable[str] | None = None,
    exclude: str | Iterable[str] | None = None,
    zip_encoding: str = CODE_PAGE,
    follow_symlinks: bool = False,
    max_pixels: int = WorkerSettings.max_pixels,
    image_timeout: float = WorkerSettings.image_timeout,
    store_timeout: float = WorkerSettings.store_timeout,
    shard: str | None = None,
    cluster: str | None = None,
    cluster_timeout: float = AnnotationSettings.cluster_timeout,
    limit: int | None = None,
    retry_failed: bool = False,
    rescan: bool = False,
    prune: bool = False,
    moved: str | Iterable[str] | None = None,
) -> AnnotationSettings:
    """What ``annotate --help`` says of each option holds here; raises UsageError."""
    for name, given, known in (("--detector", detector, DETECTORS), ("--device", device, list(Device))):
        if given not in known:
            raise UsageError(f"expected one of {', '.join(known)}, received {given!r}", name)
    counts = (jobs, batch_size, detect_size, max_pixels, limit, image_timeout, store_timeout, cluster_timeout)
    for (name, least), count in zip(LEAST.items(), counts, strict=True):
        check_range(_option(name), count, least, whole=isinstance(least, int))
    check_range("--face-threshold", face_threshold, 0, 1)
    flags = (csv, without_neutral, follow_symlinks, retry_failed, rescan, prune)
    for name, flag in zip(FLAGS, flags, strict=True):
        check_flag(_option(name), flag)
    names, photographs = root_names(roots)
    places = *names, *(str(Path(photograph).parent) for photograph in photographs)
    given_model, own_model = path_of("--detector-model", detector_model), DETECTOR_MODEL if detector == "cnn" else None
    found_by_file = given_model.absolute() if given_model else own_model
    found_by = DetectorSettings(str(detector), detect_size, face_threshold, found_by_file, GLANCE_MODEL)
    patterns = listed("--include", include), listed("--exclude", exclude)
    return AnnotationSettings(
        roots=names,
        photographs=photographs,
        output=output_of(output, places) or AnnotationSettings.output,
        csv=csv,
        jobs=jobs,
        batch_size=batch_size,
        model=or_shipped(path_of("--model", model), EMOTION_MODEL) or EMOTION_MODEL,
        device=device,
        without_neutral=without_neutral,
        worker=WorkerSettings(found_by, max_pixels, min(image_timeout, _FOR_EVER), store_timeout),
        walk=WalkSettings(*patterns, follow_symlinks, shard_of(shard), encoding_of(zip_encoding)),
        cluster=cluster_of(cluster),
        cluster_timeout=cluster_timeout,
        limit=limit,
        rescan=rescan,
        retry_failed=retry_failed,
        prune=prune,
        crops=apart(folder_of("--crops", crops), places, "--crops"),
        draw=apart(folder_of("--draw", draw), places, "--draw"),
        moved=moves_of(moved, (*names, *photographs)),
    )


OPTIONS = tuple(signature(annotation_settings).parameters)
"""The names of all of them, with the roots."""
_PARAMETERS = {_option(name): f"{name}=True" if name in FLAGS else name for name in OPTIONS}
_PARAMETERS["-o"] = "output"
_IN_TEXT = re.compile(rf"(?<![\w/-])({'|'.join(_PARAMETERS)})(?![\w-])( (?=['\d]))?")


def in_python(text: str) -> str:
    """A message as Python has its options, such as ``prune=True`` for ``--prune``."""
    return _IN_TEXT.sub(lambda found: _PARAMETERS[found[1]] + ("=" if found[2] else ""), text)
