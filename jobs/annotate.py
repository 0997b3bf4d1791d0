"""``annotate``: options in, exit code out."""

import logging
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from batch.roots import typed_root
from batch.roots.folder import Folder
from batch.settings import THRESHOLDS, DetectorSettings, WorkerSettings
from batch.walk import WalkSettings
from jobs.annotation import AnnotationSettings, annotation_job
from jobs.devices import Device
from jobs.errors import FAILED_IMAGES, exit_codes
from jobs.log import LogFormat, show_version, silence_native_libraries, start_logging
from jobs.run_report import RunReport
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL

log = logging.getLogger("annotate.job")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_ROOT_HELP = "Folders of photographs, at any depth; .zip, .tar and .tar.gz files; s3://, gs:// and az:// URLs."
_MODEL_HELP = "Emotion CNN, NAME.keras with NAME.json beside it.  [default: the one that ships]"

_THRESHOLD_HELP = (
    "Least probability that a box holds a face.  [default: the detector's own for 95 % precision: "
    + ", ".join(f"{name} {threshold:g}" for name, threshold in THRESHOLDS.items())
    + "]"
)


class DetectorName(StrEnum):
    """The face detectors."""

    CASCADE = "cascade"
    CNN = "cnn"
    YUNET = "yunet"


@app.command()
def annotate(
    roots: Annotated[list[str], typer.Argument(metavar="ROOT...", help=_ROOT_HELP)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the tables.")] = Path(
        "annotations"
    ),
    csv: Annotated[bool, typer.Option("--csv", help="Write faces.csv and images.csv as well.")] = False,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="Worker processes.  [default: one per core]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces that the CNN sees at a time.")] = 64,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help=_MODEL_HELP)] = None,
    detector: Annotated[
        DetectorName, typer.Option(envvar="ANNOTATE_DETECTOR", help="How faces are found.")
    ] = DetectorName.CASCADE,
    detect_size: Annotated[
        int, typer.Option(min=64, metavar="PIXELS", help="Long side of the image that the detector sees.")
    ] = DetectorSettings.detect_size,
    detector_model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The ONNX file of --detector yunet, or another one for cnn.")
    ] = None,
    face_threshold: Annotated[
        float | None, typer.Option(min=0, max=1, metavar="P", help=_THRESHOLD_HELP)
    ] = DetectorSettings.face_threshold,
    device: Annotated[Device, typer.Option(help="Where the CNN runs; gpu fails where there is none.")] = Device.AUTO,
    crops: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write a crop of each face, too, in a folder of its emotion, to be sorted."),
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write copies of the photographs, too, with boxes and labels.")
    ] = None,
    without_neutral: Annotated[
        bool, typer.Option("--without-neutral", help="The six universal emotions alone, renormalised.")
    ] = False,
    include: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Only images whose path or name matches (repeatable).")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="No images whose path or name matches (repeatable).")
    ] = None,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Walk into folders that are symbolic links.")
    ] = False,
    max_pixels: Annotated[
        int, typer.Option(min=1, metavar="N", help="Images with more pixels are not decoded.")
    ] = WorkerSettings.max_pixels,
    image_timeout: Annotated[
        float, typer.Option(min=1, metavar="SECONDS", help="Give up an image after this time (with two jobs or more).")
    ] = WorkerSettings.image_timeout,
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Only the K-th of N parts of the images, by a hash of their paths."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on the Dask cluster with that scheduler, not here.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Annotate at most N images in this run.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the failed images again.")] = False,
    rescan: Annotated[bool, typer.Option("--rescan", help="Annotate all images anew.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the rows of a root that has no images any more.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and do nothing.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if an image of this run could not be read.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Warnings and errors only.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines on stderr.")] = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the faces in folders of photographs, tell their emotions, and write tables.

    Only what is new or has changed since the last run is annotated. Exit codes: 0 done, 2 wrong usage, 3 --strict
    and an image could not be read, 4 another run holds the output, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    own_model = DETECTOR_MODEL if detector is DetectorName.CNN else None
    found_by = DetectorSettings(
        detector, detect_size, face_threshold, detector_model.absolute() if detector_model else own_model
    )
    settings = AnnotationSettings(
        roots=_distinct(roots),
        output=output,
        csv=csv,
        jobs=jobs or len(os.sched_getaffinity(0)),
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
    report = RunReport(bar=sys.stderr.isatty() and not quiet and log_format is LogFormat.TEXT and not dry_run)
    with exit_codes(), report, annotation_job(settings, report, dry_run) as job:
        if dry_run:
            job.preview()
            return
        job.run()
    report.log_summary()
    log.info("tables: %s", output.absolute())
    if strict and (report.failed or job.plan.unlistable):
        log.error("%d images of this run could not be read (--strict)", report.failed)
        raise typer.Exit(FAILED_IMAGES)


def _shard(text: str | None) -> tuple[int, int]:
    """Which part of how many, from ``3/64``."""
    if text is None:
        return WalkSettings.shard
    part, slash, parts = text.partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise typer.BadParameter(f"expected K/N with K from 1 to N, such as 3/64, got {text!r}", param_hint="--shard")
    return int(part), int(parts)


def _apart(folder: Path | None, roots: list[str], option: str) -> Path | None:
    """The folder, made absolute, unless it and a root lie within each other: no photograph is ever written over."""
    if folder is None:
        return None
    place = folder.resolve()
    for root in (root.path.resolve() for root in map(typed_root, roots) if isinstance(root, Folder)):
        if place.is_relative_to(root) or root.is_relative_to(place):
            raise typer.BadParameter(
                f"{folder} and {root} lie within each other. Name another folder.", param_hint=option
            )
    return folder.absolute()


def _distinct(typed: list[str]) -> tuple[str, ...]:
    """The roots' names, each once; one inside another is wrong usage, as its images would come twice."""
    roots = {root.name: root for root in map(typed_root, typed)}
    for outer in roots.values():
        for inner in roots.values():
            if type(outer) is type(inner) and outer.place in inner.place.parents:  # folders do not show their archives
                raise typer.BadParameter(f"{inner.name} lies within {outer.name}; name the outer one alone.")
    return tuple(sorted(roots))
