"""``annotate``: options in, exit code out."""

import inspect
import logging
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from batch.names import number_of
from batch.roots.walk import CODE_PAGE
from batch.settings import DETECTORS, DetectorSettings, WorkerSettings
from batch.waiting_for_disks import asking
from jobs.annotation.job import NAMED, annotation_job
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings
from jobs.devices import Device
from jobs.errors import FAILED_IMAGES, exit_codes
from jobs.hanging_disks import ended_by_a_hanging_disk
from jobs.log import LogForm, LogFormat, Quiet, show_version, silence_native_libraries, start_logging
from jobs.notebook import annotate
from jobs.option_values import UsageError
from jobs.options import DETECTOR_VARIABLE, LEAST, OPTIONS, annotation_settings, in_python
from jobs.program import Program

__all__ = ["annotate", "app"]

log = logging.getLogger("annotate.job")
app = Program()

_ROOT_HELP = (
    "Folders of photographs, at any depth; single photographs; .zip, .tar and .tar.gz files; s3://, gs:// and az:// "
    "URLs."
)
_MODEL_HELP = "Emotion CNN, NAME.keras with NAME.json beside it.  [default: the one that ships]"

_INCLUDE_HELP = "Only images whose path, name or folder matches, case and all (repeatable)."
_EXCLUDE_HELP = "No images whose path, name or folder matches, case and all (repeatable)."
_ENCODING_HELP = "Encoding of names in zips that are not UTF-8, such as shift_jis or cp1252."
_MOVED_HELP = "The root OLD of before is NEW now: its rows follow, nothing is annotated anew (repeatable)."
_JOBS_HELP = "Worker processes.  [default: one per core]"
_SIZE_HELP = "Long side of the image that the detector sees."
_TIMEOUT_HELP = "Give up an image after this time."
_STORE_HELP = "Wait so long for a bucket, or a disk, that does not answer, and then stop."
_CLUSTER_HELP = "Wait so long for a cluster without workers, and then stop."
_THRESHOLD_HELP = (
    "Least probability that a box holds a face.  [default: the detector's own for 95 % precision: "
    + ", ".join(f"{name} {spec.threshold:g}" for name, spec in DETECTORS.items())
    + "]"
)


class DetectorName(StrEnum):
    """The face detectors."""

    CASCADE = "cascade"
    CNN = "cnn"
    YUNET = "yunet"


@app.command(name="annotate")
def command(
    roots: Annotated[list[str], typer.Argument(metavar="ROOT", help=_ROOT_HELP)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the tables.")] = Path(
        "annotations"
    ),
    csv: Annotated[bool, typer.Option("--csv", help="Write faces.csv and images.csv as well.")] = False,
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=LEAST["jobs"], metavar="N", help=_JOBS_HELP)] = None,
    batch_size: Annotated[
        int, typer.Option(min=LEAST["batch_size"], metavar="N", help="Faces that the CNN sees at a time.")
    ] = AnnotationSettings.batch_size,
    model: Annotated[Path | None, typer.Option(metavar="FILE", help=_MODEL_HELP)] = None,
    detector: Annotated[
        DetectorName, typer.Option(envvar=DETECTOR_VARIABLE, help="How faces are found.")
    ] = DetectorName.CASCADE,
    detect_size: Annotated[
        int,
        typer.Option(min=LEAST["detect_size"], metavar="PIXELS", help=_SIZE_HELP),
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
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help=_INCLUDE_HELP)] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help=_EXCLUDE_HELP)] = None,
    zip_encoding: Annotated[str, typer.Option(metavar="NAME", help=_ENCODING_HELP)] = CODE_PAGE,
    follow_symlinks: Annotated[
        bool, typer.Option("--follow-symlinks", help="Walk into folders that are symbolic links.")
    ] = False,
    max_pixels: Annotated[
        int, typer.Option(min=LEAST["max_pixels"], metavar="N", help="Images with more pixels are not decoded.")
    ] = WorkerSettings.max_pixels,
    image_timeout: Annotated[
        float,
        typer.Option(
            min=LEAST["image_timeout"],
            metavar="SECONDS",
            help="Give up an image after this time.",
        ),
    ] = WorkerSettings.image_timeout,
    store_timeout: Annotated[
        float, typer.Option(min=LEAST["store_timeout"], metavar="SECONDS", help=_STORE_HELP)
    ] = WorkerSettings.store_timeout,
    shard: Annotated[
        str | None,
        typer.Option(metavar="K/N", help="Only the K-th of N parts of the images, by a hash of their paths."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Work on the Dask cluster with that scheduler, not here.")
    ] = None,
    cluster_timeout: Annotated[
        float, typer.Option(min=LEAST["cluster_timeout"], metavar="SECONDS", help=_CLUSTER_HELP)
    ] = AnnotationSettings.cluster_timeout,
    limit: Annotated[
        int | None, typer.Option(min=LEAST["limit"], metavar="N", help="Annotate at most N images in this run.")
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the failed images again.")] = False,
    rescan: Annotated[bool, typer.Option("--rescan", help="Annotate all images anew.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove the rows of a root that has no images any more.")
    ] = False,
    moved: Annotated[list[str] | None, typer.Option(metavar="OLD=NEW", help=_MOVED_HELP)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what there is to do, and do nothing.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if an image of this run could not be read.")
    ] = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say how long each stage took, too.")] = False,
    log_format: LogForm = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find the faces in folders of photographs, tell their emotions, and write tables.

    Only what is new or has changed since the last run is annotated. Exit codes: 0 done, 2 wrong usage, 3 --strict
    and an image could not be read, 4 another run holds the output, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    given = dict(locals())
    silence_native_libraries()
    start_logging(log_format, quiet, verbose)
    report = RunReport(bar=sys.stderr.isatty() and not quiet and log_format is LogFormat.TEXT and not dry_run)
    with exit_codes(), ended_by_a_hanging_disk(store_timeout), report:
        with _wrong_usage_told(), asking(", ".join(roots[:NAMED])):
            settings = annotation_settings(**{name: given[name] for name in OPTIONS})
        with annotation_job(settings, report, dry_run) as job:
            if dry_run:
                job.preview()
                return
            job.run()
    if report.images:
        report.log_summary()
    exit_code = FAILED_IMAGES if strict and (report.failed or job.plan.unlistable) else 0
    *before, last = _ending(job.rows, output.absolute(), report.failed, exit_code)
    last.fields["exit"] = exit_code
    for line in (*before, last):
        log.log(line.level, "%s", line.text, extra={"fields": line.fields})
    if exit_code:
        raise typer.Exit(exit_code)


@contextmanager
def _wrong_usage_told() -> Iterator[None]:
    """Show UsageError as Typer shows what is wrong with an option."""
    try:
        yield
    except UsageError as error:
        raise typer.BadParameter(error.message, param_hint=error.option) from error


@dataclass
class _Line:
    """A line of the log."""

    text: str
    fields: dict[str, Any] = field(default_factory=dict)
    level: int = logging.INFO


def _ending(rows: dict[str, int] | None, output: Path, failed: int, exit_code: int) -> Iterator[_Line]:
    """What the tables hold now, where what failed is listed, what to type next, and why the exit code is not 0."""
    if rows is None:
        yield _Line(f"tables: {output}")
    else:
        held = f"{number_of(rows['images'], 'image')} and {number_of(rows['faces'], 'face')}"
        yield _Line(f"the tables in {output} hold {held}", {"rows": rows})
        if failed:
            where = output / "images.parquet"
            yield _Line(f"{number_of(failed, 'image')} of this run failed: see status and error in {where}")
        if rows["images"]:
            extra = "" if find_spec("jinja2") else ", once it is installed: pip install 'emotion-annotate[report]'"
            yield _Line(f"a page to look at: annotate-report {shlex.quote(str(output))}{extra}")
    if exit_code:
        yield _Line(f"{number_of(failed, 'image')} of this run could not be read (--strict)", level=logging.ERROR)


def _described() -> str:
    """What ``--help`` says of the options that Python has, too, a line for each."""
    options = inspect.signature(command).parameters
    told = ((name, options[name].annotation.__metadata__[0]) for name in inspect.signature(annotate).parameters)
    return "\n".join(
        f"    {name}{f' ({option.metavar})' if option.metavar else ''}: {in_python(' '.join(option.help.split()))}"
        for name, option in told
    )


annotate.__doc__ = f"{annotate.__doc__}\n{_described()}\n"

if __name__ == "__main__":
    app(prog_name="annotate")
