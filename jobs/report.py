"""``annotate-report``: one self-contained page about an output, to look at."""

from pathlib import Path
from typing import Annotated

import typer

from batch.tables.files import write_durably
from jobs.errors import exit_codes
from jobs.log import show_version
from jobs.program import Program

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
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Write one self-contained HTML page: emotions overall, by folder and over time, faces, failed images, the run.

    It needs no network, and a script, its own, only to filter and to sort. Exit codes: 0 done, 2 wrong usage, 5 cannot
    go on.
    """
    with exit_codes():
        from jobs.report_page.page import render

        page = render(annotations, anonymous, output)
        write_durably(output, lambda file: file.write(page.encode()))


if __name__ == "__main__":
    app(prog_name="annotate-report")
