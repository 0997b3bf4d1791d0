"""``annotate-report``: one self-contained page about an output, to look at."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from batch.errors import OutputError
from batch.files import write_durably
from batch.snapshot import read_snapshot
from jobs.errors import exit_codes

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_FAILED = 200
"""Failed images that are named; the rest is counted."""


@dataclass(frozen=True)
class Count:
    """A bar of a chart: a name, how many, and the share of the longest bar (0 to 1)."""

    name: str
    count: int
    share: float


@app.command()
def report(
    annotations: Annotated[Path, typer.Argument(metavar="ANNOTATIONS", help="The output folder of annotate.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
) -> None:
    """Write one self-contained HTML page: images by status, emotions overall and by month, failed images, the run."""
    with exit_codes():
        page = render(annotations)
        write_durably(output, lambda file: file.write_text(page, "utf-8"))


def render(annotations: Path) -> str:
    """The page for an output, as HTML that needs neither network nor script.

    Raises OutputError if there are no tables, or the extra that renders pages is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
    except ImportError as error:
        raise OutputError("Reports need the extra [report]: pip install 'emotion-annotate[report]'.") from error
    if read_snapshot(annotations).identity is None:
        raise OutputError(f"No tables in {annotations}. Run annotate first, or name its output folder.")
    images, faces = (pd.read_parquet(annotations / f"{name}.parquet") for name in ("images", "faces"))
    template = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True).get_template("report.html")
    return template.render(_content(annotations, images, faces))


def _content(annotations: Path, images: pd.DataFrame, faces: pd.DataFrame) -> dict[str, Any]:
    failed = images[images["error"].notna()]
    run = annotations / "run.json"
    return {
        "images": len(images),
        "faces": len(faces),
        "statuses": _counts(images["status"]),
        "emotions": _counts(faces["emotion"]),
        "months": _by_month(images, faces),
        "labels": list(faces.columns[faces.columns.get_loc("confidence") + 1 :]),
        "failed": failed[["root", "path", "status", "error"]].head(_MOST_FAILED).to_dict("records"),
        "more_failed": max(0, len(failed) - _MOST_FAILED),
        "run": json.loads(run.read_text("utf-8")) if run.exists() else None,
    }


def _counts(column: "pd.Series[str]") -> list[Count]:
    counts = column.astype("str").value_counts()
    return [Count(str(name), int(count), count / counts.max()) for name, count in counts.items()]


def _by_month(images: pd.DataFrame, faces: pd.DataFrame) -> list[tuple[str, dict[str, int]]]:
    """Faces by month of the photograph and emotion; photographs without a moment are left out, not guessed."""
    dated = faces.merge(images[["root", "path", "taken_at"]], on=["root", "path"]).dropna(subset="taken_at")
    months = dated.groupby([dated["taken_at"].dt.strftime("%Y-%m"), dated["emotion"].astype("str")]).size()
    rows: dict[str, dict[str, int]] = {}
    for (month, emotion), count in months.items():
        rows.setdefault(str(month), {})[str(emotion)] = int(count)
    return sorted(rows.items())
