"""``annotate-export``: the tables in the forms that photo managers and labelling tools read."""

import json
import logging
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from batch.names import number_of
from jobs.errors import exit_codes
from jobs.log import LogForm, LogFormat, Quiet, show_version, start_logging
from jobs.program import Program

if TYPE_CHECKING:
    from jobs.exports.records import AnnotatedTables

log = logging.getLogger("annotate.export")

app = Program()


class Format(StrEnum):
    """What is written."""

    XMP = "xmp"
    COCO = "coco"
    LABEL_STUDIO = "label-studio"
    JSON_LINES = "jsonl"


_DEFAULT_OUTPUT = {
    Format.XMP: "sidecars",
    Format.COCO: "coco.json",
    Format.LABEL_STUDIO: "label-studio.json",
    Format.JSON_LINES: "annotations.jsonl",
}
_LEAST_FOR_PHOTO_MANAGERS = 0.5


@app.command()
def export(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="The output folder of annotate.")],
    form: Annotated[Format, typer.Option("--format", help="What to write.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="Folder for the sidecars, else file to write.  [default: sidecars, coco.json, label-studio.json or "
            "annotations.jsonl]",
        ),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Write the sidecars beside the photographs, into those that are there.")
    ] = False,
    min_confidence: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="Leave out faces whose emotion is less sure.  [default: 0.5 for xmp, else 0]",
        ),
    ] = None,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Write what the tables hold in another form: XMP sidecars, COCO, Label Studio predictions, or JSON Lines.

    Nothing is detected anew. Exit codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    start_logging(log_format, quiet)
    if in_place and (output is not None or form is not Format.XMP):
        raise typer.BadParameter("goes with --format xmp and without --output", param_hint="--in-place")
    place = output or Path(_DEFAULT_OUTPUT[form])
    with exit_codes(kept="files that are written are whole; the same command writes the rest"):
        from batch.tables.files import file_to_write
        from jobs.exports.records import read_annotated

        if form is not Format.XMP:
            place = file_to_write(place, begins="{[")
        least = min_confidence
        if least is None:
            least = _LEAST_FOR_PHOTO_MANAGERS if form is Format.XMP else 0.0
        annotated = read_annotated(annotations, least)
        if form is Format.XMP:
            from jobs.exports.sidecars import write_sidecars

            counts = write_sidecars(annotated, None if in_place else place)
            log.info("sidecars: %s", ", ".join(f"{count} {what}" for what, count in counts.most_common()) or "none")
            return
        _write(place, _lines(form, annotated))
        log.info("%s: %s", number_of(len(annotated.images), "image"), place)


def _lines(form: Format, annotated: "AnnotatedTables") -> Iterable[str]:
    from jobs.exports.coco import coco
    from jobs.exports.json_lines import json_lines
    from jobs.exports.label_studio import label_studio

    if form is Format.JSON_LINES:
        return json_lines(annotated)
    whole = coco(annotated) if form is Format.COCO else label_studio(annotated)
    return json.JSONEncoder(ensure_ascii=False).iterencode(whole)


def _write(file: Path, lines: Iterable[str]) -> None:
    from batch.tables.files import write_durably

    write_durably(file, lambda stream: stream.writelines(line.encode() for line in lines))


if __name__ == "__main__":
    app(prog_name="annotate-export")
