"""The settings of ``annotate`` from its options, as the command and as Python give them."""

from pathlib import Path

from batch.roots import typed_root
from batch.roots.folder import Folder
from batch.roots.walk import WalkSettings
from batch.settings import DETECTORS, DetectorSettings, WorkerSettings
from jobs.annotation.job import AnnotationSettings
from jobs.devices import Device
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, GLANCE_MODEL


class UsageError(ValueError):
    """An option with a value that makes no sense; ``option`` is its name on the command line."""

    def __init__(self, message: str, option: str | None = None) -> None:
        super().__init__(message)
        self.option = option


def annotation_settings(
    roots: list[str],
    output: Path = AnnotationSettings.output,
    csv: bool = False,
    jobs: int | None = None,
    batch_size: int = AnnotationSettings.batch_size,
    model: Path | None = None,
    detector: str = DetectorSettings.name,
    detect_size: int = DetectorSettings.detect_size,
    detector_model: Path | None = None,
    face_threshold: float | None = None,
    device: str = Device.AUTO,
    crops: Path | None = None,
    draw: Path | None = None,
    without_neutral: bool = False,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    follow_symlinks: bool = False,
    max_pixels: int = WorkerSettings.max_pixels,
    image_timeout: float = WorkerSettings.image_timeout,
    shard: str | None = None,
    cluster: str | None = None,
    limit: int | None = None,
    retry_failed: bool = False,
    rescan: bool = False,
    prune: bool = False,
) -> AnnotationSettings:
    """What ``annotate --help`` says of each option holds here; raises UsageError."""
    for name, given, known in (("--detector", detector, DETECTORS), ("--device", device, list(Device))):
        if given not in known:
            raise UsageError(f"expected one of {', '.join(known)}, received {given!r}", name)
    for name, written in (("--output", output), ("--crops", crops), ("--draw", draw)):
        if written and written.parts and written.parts[0].endswith(":"):  # a Path has lost the second slash
            raise UsageError(f"expected a folder, received the URL {written}; copy from a folder afterwards.", name)
    own_model = DETECTOR_MODEL if detector == "cnn" else None
    found_by_file = detector_model.absolute() if detector_model else own_model
    found_by = DetectorSettings(detector, detect_size, face_threshold, found_by_file, GLANCE_MODEL)
    return AnnotationSettings(
        roots=_distinct(roots),
        output=output,
        csv=csv,
        jobs=jobs or _cores(),
        batch_size=batch_size,
        model=model or EMOTION_MODEL,
        device=device,
        without_neutral=without_neutral,
        worker=WorkerSettings(found_by, max_pixels, image_timeout),
        walk=WalkSettings(tuple(include or ()), tuple(exclude or ()), follow_symlinks, _shard(shard)),
        cluster=cluster,
        limit=limit,
        rescan=rescan,
        retry_failed=retry_failed,
        prune=prune,
        crops=_apart(crops, roots, "--crops"),
        draw=_apart(draw, roots, "--draw"),
    )


def _cores() -> int:
    """The cores that this process may use, as joblib counts them on every system: affinity and containers heeded."""
    from joblib import cpu_count

    return int(cpu_count())


def _shard(text: str | None) -> tuple[int, int]:
    """Which part of how many, from ``3/64``."""
    if text is None:
        return WalkSettings.shard
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"expected K/N with K from 1 to N, such as 3/64, got {text!r}", "--shard")
    return int(part), int(parts)


def _apart(folder: Path | None, roots: list[str], option: str) -> Path | None:
    """The folder, made absolute, unless it and a root lie within each other: no photograph is ever written over."""
    if folder is None:
        return None
    place = folder.resolve()
    for root in (root.path.resolve() for root in map(typed_root, roots) if isinstance(root, Folder)):
        if place.is_relative_to(root) or root.is_relative_to(place):
            raise UsageError(f"{folder} and {root} lie within each other. Name another folder.", option)
    return folder.absolute()


def _distinct(typed: list[str]) -> tuple[str, ...]:
    """The roots' names, each once; one inside another is wrong usage, as its images would come twice."""
    roots = {root.name: root for root in map(typed_root, typed)}
    if not roots:
        raise UsageError("expected at least one folder of photographs")
    for outer in roots.values():
        for inner in roots.values():
            if type(outer) is type(inner) and outer.place in inner.place.parents:  # folders do not show their archives
                raise UsageError(f"{inner.name} lies within {outer.name}; name the outer one alone.")
    return tuple(sorted(roots))
