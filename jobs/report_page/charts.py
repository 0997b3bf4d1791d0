"""The charts of the report, as SVG that takes its text colour from the page. Imports Matplotlib."""

import io
import re
import warnings
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_INK = "#010203"
"""Stands for the page's own text colour, light or dark, until the SVG is written."""
_BAR = "#4a7fc1"
_COLOURS = ("#e69f00", "#d55e00", "#56b4e9", "#009e73", "#cc79a7", "#b8a800", "#8a8a8a", "#0072b2", "#7f4f24")
"""After Okabe and Ito's palette (2008), which most colour-blind people can tell apart; one per label, in turn."""
_WIDTH, _ROW = 5.0, 0.27
_FOLDERS, _MOMENTS = 12, 40

mpl.rcParams["svg.hashsalt"] = "report"  # the same page for the same tables


def counts_chart(counts: "pd.Series[int]") -> str:
    """Horizontal bars of counts by name, with the counts and shares behind them."""
    figure, axes = _figure(len(counts))
    places = np.arange(len(counts))[::-1]
    axes.barh(places, counts, color=_BAR, height=0.7)
    total = counts.sum()
    for place, count in zip(places, counts, strict=True):
        axes.text(count, place, f" {count:,} ({100 * count / total:.0f} %)", va="center", size=9, color=_INK)
    axes.set_yticks(places, [_short(str(name)) for name in counts.index], parse_math=False)
    axes.set_xlim(0, 1.35 * counts.max())
    axes.xaxis.set_visible(False)
    return _svg(figure)


def shares_chart(counts: pd.DataFrame) -> str:
    """One bar per row, divided by the share of each column; the row's total behind its name."""
    counts = counts.iloc[:_FOLDERS]
    figure, axes = _figure(len(counts) + 1)
    places, left = np.arange(len(counts))[::-1], np.zeros(len(counts))
    shares = counts.div(counts.sum(axis=1), axis=0)
    for label, colour in _coloured(counts):
        axes.barh(places, shares[label], left=left, color=colour, height=0.7, label=str(label))
        left += shares[label].to_numpy()
    names = (f"{_short(str(name))} ({total:,})" for name, total in counts.sum(axis=1).items())
    axes.set_yticks(places, list(names), parse_math=False)
    axes.set_xlim(0, 1)
    axes.set_xticks((0, 0.5, 1), ("0", "50 %", "100 %"))
    _legend(axes)
    return _svg(figure)


def time_chart(counts: pd.DataFrame) -> str:
    """One column per period, its faces stacked by label."""
    figure, axes = _figure(7)
    below, places = np.zeros(len(counts)), np.arange(len(counts))
    for label, colour in _coloured(counts):
        axes.bar(places, counts[label], bottom=below, color=colour, width=0.85, label=str(label))
        below += counts[label].to_numpy()
    every = max(1, len(counts) // 6)
    axes.set_xticks(places[::every], list(map(str, counts.index[::every])), rotation=30, ha="right")
    axes.set_ylabel("faces")
    _legend(axes)
    return _svg(figure)


def histogram(values: "pd.Series[float]", edges: Sequence[float], name: str, logarithmic: bool = False) -> str:
    """How many values lie between each two ``edges``."""
    figure, axes = _figure(5)
    axes.hist(values, bins=list(edges), color=_BAR, edgecolor="none", rwidth=None if logarithmic else 0.9)
    if logarithmic:
        axes.set_xscale("log", base=2)
        axes.set_xticks(list(edges)[::2], [f"{edge:g}" for edge in list(edges)[::2]])
        axes.minorticks_off()
    axes.set(xlabel=name, ylabel="faces", xlim=(edges[0], edges[-1]))
    return _svg(figure)


def by_period(moments: "pd.Series[pd.Timestamp]", labels: "pd.Series[str]") -> pd.DataFrame:
    """Counts of labels (columns) by day, month or year (rows): the finest that is still readable."""
    for frequency in ("D", "M", "Y"):
        periods = moments.dt.to_period(frequency)
        if (periods.max() - periods.min()).n < _MOMENTS or frequency == "Y":
            break
    counts = pd.crosstab(periods, labels, dropna=False)
    return counts.reindex(pd.period_range(periods.min(), periods.max(), freq=periods.dt.freq), fill_value=0)


def _coloured(counts: pd.DataFrame) -> list[tuple[str, str]]:
    """The columns in which anything was counted, each with the colour that its label has in every chart."""
    return [(str(c), _COLOURS[i % len(_COLOURS)]) for i, c in enumerate(counts.columns) if counts[c].any()]


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _figure(rows: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_WIDTH, 0.7 + _ROW * rows), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_INK)
    axes.tick_params(colors=_INK, labelsize=9)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    return figure, axes


def _legend(axes: Axes) -> None:
    bars = [container[0] for container in axes.containers]
    names = [str(container.get_label()) for container in axes.containers]
    where = {"loc": "outside upper center", "ncols": 4}
    legend = axes.figure.legend(bars, names, frameon=False, fontsize=9, labelcolor=_INK, **where)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _svg(figure: Figure) -> str:
    """The figure as an SVG element without prologue and metadata, as wide as the page has room for."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings(action="ignore"):  # of glyphs it lacks
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for side in ("width", "height"):
        text = re.sub(rf'^(<svg[^>]*?) {side}="[^"]*"', r"\1", text)
    return text.replace(_INK, "currentColor")
