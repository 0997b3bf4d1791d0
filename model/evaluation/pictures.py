"""Pictures of a training and of an evaluation, as Matplotlib figures without pyplot's global state."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from model.data.split import in_turn
from model.evaluation.metrics import confidence_bins
from model.evaluation.predictions import Predictions

_BLUE, _ORANGE, _GRAY = "#2f6db3", "#d9822b", "#8a8a8a"
_GRID_COLUMNS, _GRID_ROWS = 10, 3


def write_pictures(folder: Path, answers: Predictions, history: Mapping[str, Sequence[float]] | None = None) -> None:
    """Write the confusion matrix, the reliability diagram, the prediction grid and, of a training, its curves."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "confusion_matrix": confusion_matrix({"": answers}),
        "reliability": reliability_diagram(answers),
        "predictions": prediction_grid(answers),
    }
    if history:
        figures["training_curves"] = training_curves(history)
    for name, figure in figures.items():
        (folder / f"{name}.png").write_bytes(as_png(figure))


def as_png(figure: Figure, dots_per_inch: int = 110) -> bytes:
    """Render a figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch)
    return buffer.getvalue()


def confusion_matrix(by_name: Mapping[str, Predictions]) -> Figure:
    """One confusion matrix per named model, side by side; cells hold the share of the row and the count."""
    labels = next(iter(by_name.values())).labels
    side = 2.2 + 0.65 * len(labels)
    figure = Figure(figsize=(side * len(by_name), side), layout="constrained")
    for axes, (name, answers) in zip(np.ravel([figure.subplots(1, len(by_name))]), by_name.items(), strict=True):
        figures = answers.figures
        counts = np.array(figures.confusion)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            text = f"{100 * share:.0f}%\n{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", size=8, color="white" if share > 0.5 else "#333333")
        axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="predicted", ylabel="true")
        axes.set_title(
            f"{name}\n" * bool(name) + f"accuracy {100 * figures.accuracy:.1f} %, macro-F1 {figures.macro_f1:.3f}\n"
            f"mean recall {figures.mean_recall:.3f}, {figures.images} images",
            size=10,
        )
    return figure


def recalls_by_set(by_name: Mapping[str, Predictions]) -> Figure:
    """How much of each label is recognised in each data set, a row a set; labels that a set lacks are left blank."""
    labels = next(iter(by_name.values())).labels
    recalls = np.full((len(by_name), len(labels)), np.nan)
    for row, answers in enumerate(by_name.values()):
        of_labels = answers.figures.per_class
        recalls[row] = [of_labels[x]["recall"] if of_labels[x]["images"] else np.nan for x in labels]
    figure = Figure(figsize=(3.5 + 0.75 * len(labels), 1.6 + 0.5 * len(by_name)), layout="constrained")
    axes = figure.subplots()
    axes.imshow(recalls, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), recall in np.ndenumerate(recalls):
        if not np.isnan(recall):
            colour = "white" if recall > 0.5 else "#333333"
            axes.text(column, row, f"{100 * recall:.0f}%", ha="center", va="center", size=9, color=colour)
    names = [f"{name} ({len(answers.truth)})" for name, answers in by_name.items()]
    axes.set_yticks(range(len(names)), names)
    axes.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    mean = np.mean([answers.figures.mean_recall for answers in by_name.values()])
    axes.set_title(f"recall by data set; mean over the sets {mean:.3f}", size=10)
    return figure


def reliability_diagram(answers: Predictions, bins: int = 15) -> Figure:
    """How often the answers are right at each confidence, over how many answers there are (Guo et al. 2017)."""
    confidence, correct = answers.probabilities.max(axis=1), answers.predicted == answers.truth
    which = confidence_bins(confidence, bins)
    counts = np.bincount(which, minlength=bins)
    right = np.bincount(which, correct, bins) / np.maximum(1, counts)
    claimed = np.bincount(which, confidence, bins) / np.maximum(1, counts)
    filled = counts > 0
    centres = (np.arange(bins) + 0.5) / bins
    figure = Figure(figsize=(5.5, 6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 1), (0, 1), color=_GRAY, linestyle="--", label="perfectly calibrated")
    top.bar(centres[filled], right[filled], 0.9 / bins, color=_BLUE, alpha=0.35, label="share that is right")
    top.plot(claimed[filled], right[filled], "o-", color=_BLUE, label="at the bin's mean confidence")
    top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    top.set_title(f"expected calibration error {answers.figures.ece:.3f}, {bins} bins", size=10)
    top.legend(loc="upper left", frameon=False, fontsize=9)
    bottom.bar(centres, counts, 0.9 / bins, color=_GRAY)
    bottom.set(xlabel="confidence of the answer", ylabel="images")
    return figure


def prediction_grid(answers: Predictions) -> Figure:
    """Unseen images with their true and predicted labels: right ones of every class, and the worst mistakes."""
    confidence, correct = answers.probabilities.max(axis=1), answers.predicted == answers.truth
    right = in_turn(np.where(correct, answers.truth, -1))
    wrong = np.flatnonzero(~correct)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    kinds = ((right, "right: a few of each class", _BLUE), (wrong, "wrong: the most confident mistakes", _ORANGE))
    shown = [kind for kind in kinds if len(kind[0])]
    heights = [min(_GRID_ROWS, math.ceil(len(rows) / _GRID_COLUMNS)) for rows, _, _ in shown]
    size = (1.25 * _GRID_COLUMNS, 1.62 * sum(heights) + 0.4 * len(shown))
    figure = Figure(figsize=size, layout="constrained")
    parts = np.ravel([figure.subfigures(len(shown), 1, hspace=0.03, height_ratios=heights)])
    for part, (rows, title, colour), height in zip(parts, shown, heights, strict=True):
        part.suptitle(f"{title} ({len(rows)} of {len(answers.truth)} images)", size=11, color=colour)
        places = np.ravel(part.subplots(height, _GRID_COLUMNS, squeeze=False))
        for axes in places:
            axes.set_axis_off()
        for axes, row in zip(places, rows, strict=False):
            _draw_answer(axes, answers, int(row), colour)
    return figure


def _draw_answer(axes: Axes, answers: Predictions, row: int, colour: str) -> None:
    true, guess = answers.labels[answers.truth[row]], answers.labels[answers.predicted[row]]
    axes.imshow(answers.images[row], cmap="gray", vmin=0, vmax=255)
    percent = f"{100 * answers.probabilities[row].max():.0f} %"
    title = f"{guess}\n{percent}" if true == guess else f"{guess} {percent}\nis {true}"
    axes.set_title(title, size=8, color=colour, pad=3)


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Loss per epoch on both sides of the split, accuracy in training, mean recall in validation; the best marked."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    panels = figure.subplots(1, 2)
    best = int(np.argmin(history["val_loss"])) + 1
    for axes, trained, validated in zip(panels, ("loss", "accuracy"), ("loss", "mean_recall"), strict=True):
        names = [name for name in history if name.endswith(trained) and not name.startswith("val_")]
        for name, colour in zip(names, (_BLUE, _ORANGE, "#3a9a5b", "#a04aa0"), strict=False):
            epochs, beside = range(1, len(history[name]) + 1), name.removesuffix(trained) + validated
            axes.plot(epochs, history[name], color=colour, linestyle="--", label=f"{name}, training")
            validation = history[f"val_{beside}"]
            axes.plot(epochs, validation, ".-", color=colour, label=f"{beside.replace('_', ' ')}, validation")
        axes.axvline(best, color=_GRAY, linestyle=":", label=f"best epoch, {best}")
        axes.set(xlabel="epoch", ylabel=" and ".join(dict.fromkeys((trained, validated.replace("_", " ")))))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.legend(fontsize=8, frameon=False)
    panels[0].set_title("variants make training harder than validation", size=9, color=_GRAY)
    return figure
