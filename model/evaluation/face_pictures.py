"""Pictures of how well faces are found. Needs matplotlib, of the extra ``train``."""

from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

_EDGES = (0, 20, 30, 40, 60, 80, 120, 200, 100_000)
_COLUMNS = 8


def draw_curve(recall: np.ndarray, precision: np.ndarray, chosen: tuple[float, float, float], file: Path) -> None:
    """Draw precision over recall (N,); ``chosen`` is the recall, precision and threshold to be marked."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0.5, 1.01))
    axes.plot(recall, precision)
    axes.plot(*chosen[:2], "o", label=f"threshold {chosen[2]:.2f}: recall {chosen[0]:.3f}, precision {chosen[1]:.3f}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(file, dpi=120)


def draw_recall_by_size(sides: np.ndarray, found: np.ndarray, file: Path) -> None:
    """Draw which share of the true faces was ``found`` (N,) by their shorter ``sides`` (N,) in pixels."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="shorter side of the face, pixels", ylabel="recall", ylim=(0, 1.08))
    for place, (low, high) in enumerate(pairwise(_EDGES)):
        inside = (sides >= low) & (sides < high)
        share = float(found[inside].mean()) if inside.any() else 0.0
        axes.bar(place, share, color="tab:blue")
        axes.text(place, share + 0.02, f"{share:.0%} of\n{inside.sum()}", ha="center", fontsize=8)
    names = [f"{low}–{high}" for low, high in pairwise(_EDGES[:-1])] + [f"{_EDGES[-2]}–"]  # noqa: RUF001
    axes.set_xticks(range(len(names)), names)
    figure.savefig(file, dpi=120)


def draw_sheet(crops: list[np.ndarray], titles: list[str], heading: str, file: Path) -> None:
    """Draw crops (48, 48) side by side, each under its title."""
    rows = max(1, -(-len(crops) // _COLUMNS))
    figure = Figure(figsize=(_COLUMNS * 1.2, rows * 1.35 + 0.4), layout="constrained")
    figure.suptitle(f"{heading} ({len(crops)} shown)")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, crop, title in zip(grid, crops, titles, strict=False):
        axes.imshow(crop, cmap="gray", vmin=0, vmax=255)
        axes.set_title(title, fontsize=8)
    figure.savefig(file, dpi=120)
