"""``annotate-report``: one self-contained page about an output, to look at."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from batch.tables.files import file_to_write, write_durably
from jobs.errors import exit_codes
from jobs.log import LogForm, LogFormat, Quiet, show_version, start_logging
from jobs.program import Program

log = logging.getLogger("annotate.report")
app = Program()


@app.command()
def report(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="The output folder of annotate.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Leave out faces and the names of files and folders.")
    ] = False,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Write one self-contained HTML page: emotions overall, by folder and over time, faces, failed images, the run.

    It needs no network, and a script, its own, only to filter and to sort. Exit codes: 0 done, 2 wrong usage, 5 cannot
    go on.
    """
    start_logging(log_format, quiet)
    with exit_codes():
        from jobs.report_page.page import render

        output = file_to_write(output, begins="<")
        page = render(annotations, anonymous, output)
        written = page.encode()
        write_durably(output, lambda file: file.write(written))
        log.info("wrote %s, a page of %.1f MB: open it in a browser", output, len(written) / 1e6)


if __name__ == "__main__":
    app(prog_name="annotate-report")
