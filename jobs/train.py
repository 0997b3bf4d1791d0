"""``annotate-train``: trains the networks that ``annotate`` uses."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import exit_codes
from jobs.log import LogFormat, start_logging

log = logging.getLogger("annotate.train")
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def family() -> None:
    """Train the networks that annotate uses."""


@app.command()
def emotions(
    faces: Annotated[Path, typer.Argument(metavar="DATA", help="fer2013.csv, compressed or not.")],
    votes: Annotated[Path | None, typer.Option(help="FER+'s fer2013new.csv: ten crowd votes for each row.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Model to write; NAME.json comes beside it.")] = Path(
        "emotions.keras"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the images, each in another variant.")] = 60,
    batch_size: Annotated[int, typer.Option(min=1, help="Images a step.")] = 128,
    copies: Annotated[int, typer.Option(min=1, help="Unique variants of each image, the first the image itself.")] = 17,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak of the one-cycle schedule.")] = 0.1,
    logit_adjustment: Annotated[
        float,
        typer.Option(min=0, help="How far rare emotions are lifted: 0 not at all, 1 as if all were equally common."),
    ] = 0.3,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without improvement before training stops.")] = 15,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and variants.")] = 0,
    mixed_precision: Annotated[bool, typer.Option(help="Compute in bfloat16, keep weights in float32.")] = False,
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint that a killed training left.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines on stderr.")] = LogFormat.TEXT,
) -> None:
    """Train the emotion CNN on labelled face crops."""
    start_logging(log_format)
    with exit_codes():
        from model.emotions import EmotionTraining, train_emotions
        from model.training import TrainingSettings

        settings = TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            copies=copies,
            learning_rate=learning_rate,
            logit_adjustment=logit_adjustment,
            patience=patience,
            seed=seed,
        )
        train_emotions(EmotionTraining(faces, votes, output, settings, mixed_precision, resume))


@app.command(name="faces")
def face_verifier(
    photographs: Annotated[Path, typer.Argument(metavar="PHOTOS", help="Folder of photographs with known faces.")],
    boxes: Annotated[Path, typer.Option(help="JSON: path below PHOTOS to width, height and boxes_xywh.")],
    faces: Annotated[Path | None, typer.Option(help="fer2013.csv: further faces, compressed or not.")] = None,
    output: Annotated[Path, typer.Option("-o", "--output", help="Model to write; NAME.json comes beside it.")] = Path(
        "faces.keras"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the crops, each in another variant.")] = 12,
    batch_size: Annotated[int, typer.Option(min=1, help="Crops a step.")] = 128,
    learning_rate: Annotated[float, typer.Option(min=0, help="Peak of the one-cycle schedule.")] = 0.05,
    patience: Annotated[int, typer.Option(min=1, help="Epochs without improvement before training stops.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the split, weights, order and variants.")] = 0,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, help="Processes that propose faces.")] = 1,
    resume: Annotated[bool, typer.Option(help="Go on from what a killed training has left.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines on stderr.")] = LogFormat.TEXT,
) -> None:
    """Train the CNN that verifies faces, on what the cascade proposes in photographs with known faces."""
    start_logging(log_format)
    with exit_codes():
        from jobs.train_faces import FaceTraining, train_faces
        from model.training import TrainingSettings

        settings = TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            logit_adjustment=0.0,
            patience=patience,
            seed=seed,
        )
        train_faces(FaceTraining(photographs, boxes, faces, output, settings, jobs=jobs, resume=resume))
