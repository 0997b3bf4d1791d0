"""What the report says of an output."""

import base64
import io
import json
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from batch.errors import OutputError
from batch.pictures.palette import colour_of
from batch.tables.csv_tables import write_csv
from batch.tables.snapshot import read_annotations
from jobs.report_page.figures import CONFIDENCES, SIZES, Group, by_period, counted, groups, histogram, shares
from jobs.report_page.rows import Rows
from model.bundle import SHIPPED, fingerprint

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_FAILED = 200
"""Failed images that are named without a script; the rest is counted."""
_FOLDERS, _MOST_FOLDERS = 12, 100
"""Folders that are shown at first, and at most, as drawing them after each filter takes its time."""
_FOLDERS_IN_NUMBERS = 1000
"""Folders in the table of numbers, which takes most of a page that has thousands; the rest is one row more."""
_BREAKS = re.compile(r"(?<=[/_-])|(?=\.)")
"""Where the name of a file may go on in the next line."""


def render(annotations: Path, anonymous: bool = False, page: Path = Path("report.html")) -> str:
    """The page for an output, as HTML that needs no network, and a script only to filter; ``page`` is its place.

    Raises OutputError if there are no tables, or the extra that renders pages is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader
        from markupsafe import Markup, escape
    except ImportError as error:
        raise OutputError("Reports need the extra [report]: pip install 'emotion-annotate[report]'.") from error
    faces, images = read_annotations(annotations)
    run = annotations / "run.json"
    labels = list(faces.columns[faces.columns.get_loc("confidence") + 1 :])
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)
    environment.filters["breakable"] = lambda text: Markup(_BREAKS.sub("<wbr>", escape(text)))  # noqa: S704 - escaped
    made = json.loads(run.read_text("utf-8")) if run.exists() else None
    shipped = _shipped_model(made["identity"]["model"]) if made else None
    return environment.get_template("report.html").render(
        images=len(images),
        faces=len(faces),
        anonymous=anonymous,
        failed=_failed(images, anonymous),
        annotated=(images["annotated_at"].min(), images["annotated_at"].max()) if len(images) else None,
        run=made,
        model_name=shipped.name if shipped else None,
        model_card=_model_card() if shipped else None,
        colours={label: colour_of(index) for index, label in enumerate(labels)},
        **_charts(Rows(faces, images, labels), anonymous, page),
    )


def _charts(rows: Rows, anonymous: bool, page: Path) -> dict[str, Any]:
    """The figures by chart; what names a face or a file only if the page is not ``anonymous``."""
    faces, images, labels = rows.faces, rows.images, rows.labels
    charts: dict[str, Any] = {"statuses": shares(images["status"].astype(str).value_counts().items())}
    if not anonymous:
        charts |= {"roots": list(images.groupby("root").size().items()), "rows": rows.packed(page)}
    if len(faces):
        moments = images["taken_at"].iloc[rows.image].reset_index(drop=True)
        charts["emotions"] = shares(faces["emotion"].astype(str).value_counts().items())
        charts["folders"] = _folders(rows, anonymous)
        charts["periods"] = by_period(moments, rows.label, labels)
        undated = moments.isna().to_numpy()
        charts["undated"] = (int(undated.sum()), len(np.unique(rows.image[undated])))
        charts["confidences"] = _bins(histogram(faces["confidence"], CONFIDENCES), CONFIDENCES)
        charts["sizes"] = _bins(histogram(faces[["width", "height"]].max(axis=1), SIZES), SIZES)
        if not anonymous:
            from jobs.report_page.faces import contact_sheets

            versions = images[["size_bytes", "modified_ns"]].iloc[rows.image].reset_index(drop=True)
            charts["sheets"] = contact_sheets(faces.join(versions), labels, page)
    charts |= {"shown_folders": _FOLDERS, "most_folders": _MOST_FOLDERS, "in_numbers": _FOLDERS_IN_NUMBERS}
    return charts | {"numbers": _numbers(charts)}


def _folders(rows: Rows, anonymous: bool) -> list[Group]:
    """The faces by folder, the fullest first, all of them but those without faces."""
    counts = counted(rows.folder[rows.image], rows.label, (len(rows.folder_names), len(rows.labels)))
    order = [index for index in np.argsort(-counts.sum(axis=1), kind="stable") if counts[index].any()]
    names = [f"folder {n}" for n in range(1, len(order) + 1)] if anonymous else [rows.folder_names[i] for i in order]
    return groups(names, counts[order], rows.labels)


def _fullest(folders: list[Group]) -> list[Group]:
    """Those that the numbers have, and the others as one."""
    others = folders[_FOLDERS_IN_NUMBERS:]
    if not others:
        return folders
    counts: Counter[str] = Counter()
    for group in others:
        counts.update({one.name: one.count for one in group.shares})
    name = f"{len(others)} other folders"
    return [*folders[:_FOLDERS_IN_NUMBERS], Group(name, counts.total(), shares(counts.items()))]


def _bins(counts: list[int], edges: tuple[float, ...]) -> list[tuple[float, float, int]]:
    return list(zip(edges, edges[1:], counts, strict=False))


def _numbers(charts: dict[str, Any]) -> str:
    """What the charts show, as a data URL of a CSV file."""
    tables: dict[str, list[Group]] = {
        "images by status": [Group("all images", 0, charts["statuses"])],
        "faces by emotion": [Group("all faces", 0, charts.get("emotions", []))],
        "faces by folder": _fullest(charts.get("folders", [])),
        "faces over time": charts.get("periods", []),
    }
    for chart, name in (("faces by confidence", "confidences"), ("faces by size", "sizes")):
        bins = ((f"{low:g} to {high:g}", count) for low, high, count in charts.get(name, []))
        tables[chart] = [Group("all faces", 0, shares(bins))]
    rows = [
        {"chart": chart, "group": group.name, "share": one.share, **asdict(one)}
        for chart, of_chart in tables.items()
        for group in of_chart
        for one in group.shares
    ]
    file = io.BytesIO()
    write_csv(pa.Table.from_pandas(pd.DataFrame(rows), preserve_index=False), file)
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(file.getvalue()).decode()}"


def _shipped_model(sha256: str) -> Path | None:
    """The file of the model that made the tables, if it is one that ships."""
    return next((file for file in SHIPPED.glob("*.keras") if fingerprint(file) == sha256), None)


def _model_card() -> str:
    """The card of the models that ship as HTML, without its header, its headings below the page's own."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    card = (SHIPPED / "README.md").read_text("utf-8").split("\n---\n", 1)[-1]
    tokens = reader.parse(card.replace(" %", "\N{NO-BREAK SPACE}%"))
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1:]) + 1}"
    return str(reader.renderer.render(tokens, reader.options, {}))


def _failed(images: pd.DataFrame, anonymous: bool) -> dict[str, Any]:
    """The images that could not be used, with names or counted by reason, and how many of them are not shown."""
    failed = images[images["error"].notna()]
    if anonymous:
        by_status = failed.groupby("status", observed=True).size()
        return {"rows": [{"status": str(name), "images": int(count)} for name, count in by_status.items()], "more": 0}
    rows = failed[["path", "status", "error"]].head(_MOST_FAILED).to_dict("records")
    return {"rows": rows, "more": max(0, len(failed) - _MOST_FAILED)}
