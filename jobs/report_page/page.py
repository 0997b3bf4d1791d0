"""What the report says of an output."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from batch.errors import OutputError
from batch.tables.snapshot import read_annotations

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_FAILED = 200
"""Failed images that are named; the rest is counted."""
_CONFIDENCES = np.linspace(0, 1, 21)
_SIZES = 2.0 ** np.arange(4, 12.5, 0.5)
"""Edges of the bins of face sizes: 16 to 4096 pixels in steps of a half power of two."""


def render(annotations: Path, anonymous: bool = False) -> str:
    """The page for an output, as HTML that needs neither network nor script.

    Raises OutputError if there are no tables, or the extra that renders pages is not installed.
    """
    try:
        import matplotlib  # noqa: F401 - whether it is there
        from jinja2 import Environment, FileSystemLoader
    except ImportError as error:
        raise OutputError("Reports need the extra [report]: pip install 'emotion-annotate[report]'.") from error
    faces, images = read_annotations(annotations)
    run = annotations / "run.json"
    template = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True).get_template("report.html")
    return template.render(
        images=len(images),
        faces=len(faces),
        anonymous=anonymous,
        failed=_failed(images, anonymous),
        annotated=(images["annotated_at"].min(), images["annotated_at"].max()) if len(images) else None,
        run=json.loads(run.read_text("utf-8")) if run.exists() else None,
        **_charts(images, faces, anonymous),
    )


def _charts(images: pd.DataFrame, faces: pd.DataFrame, anonymous: bool) -> dict[str, Any]:
    """SVG elements by name, and the contact sheets; without faces the images' statuses alone."""
    from jobs.report_page.charts import by_period, counts_chart, histogram, shares_chart, time_chart
    from jobs.report_page.faces import contact_sheets

    charts: dict[str, Any] = {"statuses": counts_chart(_counts(images["status"]))} if len(images) else {}
    if not len(faces):
        return charts
    labels = list(faces.columns[faces.columns.get_loc("confidence") + 1 :])
    emotion = pd.Categorical(faces["emotion"].astype(str), categories=labels)
    charts["emotions"] = counts_chart(_counts(faces["emotion"]))
    charts["folders"] = shares_chart(_by_folder(faces, pd.Series(emotion, name="emotion"), anonymous))
    charts["confidences"] = histogram(faces["confidence"], list(_CONFIDENCES), "confidence")
    sizes = faces[["width", "height"]].max(axis=1).clip(_SIZES[0], _SIZES[-1])
    charts["sizes"] = histogram(sizes, list(_SIZES), "longer side of the face, pixels", logarithmic=True)
    dated = faces.assign(emotion=emotion).merge(images[["root", "path", "taken_at"]], on=["root", "path"])
    charts["undated"] = int(dated["taken_at"].isna().sum())
    dated = dated.dropna(subset="taken_at")
    if len(dated):
        charts["times"] = time_chart(by_period(dated["taken_at"], dated["emotion"]))
    if not anonymous:
        charts["sheets"] = contact_sheets(faces, labels)
    return charts


def _counts(column: "pd.Series[str]") -> "pd.Series[int]":
    return column.astype("str").value_counts()


def _by_folder(faces: pd.DataFrame, emotion: "pd.Series[str]", anonymous: bool) -> pd.DataFrame:
    """Counts of emotions (columns) by the photographs' folder (rows), the fullest first."""
    folder = faces["path"].str.rpartition("/")[0].replace("", ".")
    if faces["root"].nunique() > 1:
        folder = faces["root"].str.rpartition("/")[2] + "/" + folder
    counts = pd.crosstab(folder.rename("folder"), emotion, dropna=False)
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False, kind="stable").index]
    if anonymous:
        counts.index = pd.Index([f"folder {number}" for number in range(1, len(counts) + 1)])
    return counts


def _failed(images: pd.DataFrame, anonymous: bool) -> dict[str, Any]:
    """The images that could not be used, with names or counted by reason, and how many of them are not shown."""
    failed = images[images["error"].notna()]
    if anonymous:
        counted = failed.groupby("status", observed=True).size()
        return {"rows": [{"status": str(status), "images": int(count)} for status, count in counted.items()], "more": 0}
    rows = failed[["path", "status", "error"]].head(_MOST_FAILED).to_dict("records")
    return {"rows": rows, "more": max(0, len(failed) - _MOST_FAILED)}
