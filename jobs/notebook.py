"""``annotate`` for Python: what the command does, in a notebook or a program, and the tables back."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from batch.errors import RootError
from batch.images.formats import has_image_suffix
from batch.names import names_are_misread
from batch.roots import typed_root
from batch.roots.folder import Folder
from batch.roots.walk import CODE_PAGE
from batch.settings import DetectorSettings, WorkerSettings
from batch.tables.snapshot import Annotations, read_annotations
from jobs.annotation.job import annotation_job
from jobs.annotation.progress_bar import in_notebook
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings
from jobs.devices import Device
from jobs.errors import MENDABLE
from jobs.log import lines_shown, native_libraries_silenced
from jobs.option_values import UsageError
from jobs.options import DETECTOR_VARIABLE, annotation_settings, in_python

_MENDABLE: tuple[type[Exception], ...] = (UsageError, *MENDABLE)


def annotate(
    *roots: str | Path | Iterable[str | Path],
    output: str | Path = str(AnnotationSettings.output),
    csv: bool = False,
    jobs: int | None = None,
    batch_size: int = AnnotationSettings.batch_size,
    model: str | Path | None = None,
    detector: str | None = None,
    detect_size: int = DetectorSettings.detect_size,
    detector_model: str | Path | None = None,
    face_threshold: float | None = DetectorSettings.face_threshold,
    device: str = Device.AUTO.value,
    crops: str | Path | None = None,
    draw: str | Path | None = None,
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
) -> Annotations:
    """Find the faces in folders of photographs, tell their emotions, write tables, and give them.

    ``faces, images = annotate("photos", detector="cnn")`` does what the command does. ``roots`` are paths or lists of
    paths, ``detector`` is cascade, cnn or yunet, and cascade unless ANNOTATE_DETECTOR says otherwise. Raises UsageError
    for a value that makes no sense, and what ``annotation_job`` raises. On a terminal and in a notebook it shows a bar
    and what was done; elsewhere it logs.
    """
    given = dict(locals())
    try:
        if told := names_are_misread():
            raise RootError(told)
        _check_further_roots(roots[1:])
        given["detector"] = detector or os.environ.get(DETECTOR_VARIABLE, DetectorSettings.name)
        settings = annotation_settings(**given)
        return _annotated(settings)
    except _MENDABLE as error:
        error.args = (in_python(str(error)),)
        raise error.with_traceback(None) from None  # the message is all that helps, and a notebook shows it last


def _annotated(settings: AnnotationSettings) -> Annotations:
    notebook = in_notebook()
    stream = sys.stdout if notebook else sys.stderr if sys.stderr.isatty() else None  # stderr is red in a notebook
    shown = lines_shown(stream, in_python)
    with native_libraries_silenced(notebook), shown, RunReport(bar=stream is not None) as report:
        with annotation_job(settings, report) as job:
            job.run()
        if report.images:
            report.log_summary()
    return read_annotations(settings.output)


def _check_further_roots(roots: Iterable[object]) -> None:
    """Raise RootError for one that is not there: a person may mean the output by it."""
    for root in roots:
        name = os.fspath(root) if isinstance(root, (str, os.PathLike)) else ""
        if not name or has_image_suffix(name):
            continue
        folder = typed_root(name)
        if isinstance(folder, Folder) and not os.path.exists(folder.path):  # noqa: PTH110 - Path raises
            raise RootError(f"No such root: {name}. For the folder of the tables write output={name!r}.")
