"""What several trainings have as options, and what people write for them."""

import math
from pathlib import Path
from typing import Annotated

import typer

from jobs.devices import Device

Photographs = Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photographs with known faces.")]
Boxes = Annotated[Path, typer.Option(metavar="FILE", help="JSON: path below PHOTOS to width, height and boxes_xywh.")]
LearningRate = Annotated[float, typer.Option(min=0, metavar="RATE", help="Peak of the one-cycle schedule.")]
Patience = Annotated[int, typer.Option(min=1, metavar="N", help="Epochs without improvement before training stops.")]
Seed = Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the split, the weights and all that is drawn.")]
TrainingDevice = Annotated[Device, typer.Option(help="Where to train; gpu fails where there is none.")]
MixedPrecision = Annotated[
    bool, typer.Option("--mixed-precision", help="Compute in bfloat16, keep weights in float32.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what a killed training has left.")]
StartFrom = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Model to train further; shipped: the one that ships.")
]


def parsed_labels(text: str | None) -> tuple[str, ...] | None:
    """The labels; raises BadParameter."""
    if text is None:
        return None
    labels = tuple(label.strip() for label in text.split(","))
    if len(labels) < 2 or len(set(labels)) != len(labels) or not all(labels):
        raise typer.BadParameter(f"expected at least two different names, received {text!r}", param_hint="--labels")
    return labels


def parsed_weights(texts: list[str]) -> dict[str, float]:
    """How much each data set weighs; raises BadParameter."""
    weights = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            weights[name] = float(number)
        except ValueError:
            weights[name] = -1.0
        if not name or not 0 < weights[name] < math.inf:
            hint = f"expected NAME=W with a positive number, received {text!r}"
            raise typer.BadParameter(hint, param_hint="--weight")
    return weights
