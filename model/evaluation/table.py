"""Figures of a model on several data sets: as plain types, and as the table of the model card."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from model.evaluation.predictions import Predictions

_MEANS = ("accuracy", "mean_recall", "macro_f1", "ece")


def as_json(answers: Mapping[str, Predictions]) -> dict[str, Any]:
    """The figures on each data set, and their mean over the sets, each counting the same."""
    sets = {name: of_one.figures.as_json() for name, of_one in answers.items()}
    return {"sets": sets, "mean": {figure: float(np.mean([x[figure] for x in sets.values()])) for figure in _MEANS}}


def as_markdown(answers: Mapping[str, Predictions]) -> str:
    """A row a data set, with the recall of each label, and a row of means; a label that a set lacks has a dash."""
    labels = next(iter(answers.values())).labels
    head = ["data", "faces", "accuracy", "mean recall", "macro-F1", "ECE", *labels]
    rows = [head, ["---"] * len(head)]
    for name, of_one in answers.items():
        figures = of_one.figures
        recalls = [figures.per_class[label] for label in labels]
        told = [f"{x['recall']:.2f}" if x["images"] else "-" for x in recalls]
        rows.append([name, str(figures.images), *_means(figures.as_json()), *told])
    if len(answers) > 1:
        rows.append(["mean over the sets", "", *_means(as_json(answers)["mean"]), *[""] * len(labels)])
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _means(figures: Mapping[str, Any]) -> list[str]:
    return [f"{figures[name]:.3f}" for name in _MEANS]
