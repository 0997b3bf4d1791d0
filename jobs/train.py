"""``annotate-train``: trains the networks that ``annotate`` uses."""

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from jobs.corrections import ANNOTATIONS_HELP, FILES_HELP
from jobs.devices import Device
from jobs.errors import exit_codes
from jobs.log import LogForm, LogFormat, Quiet, show_version, silence_native_libraries, start_logging
from jobs.program import Program
from jobs.shipped import or_shipped
from jobs.training.options import (
    Boxes,
    LearningRate,
    MixedPrecision,
    Patience,
    Photographs,
    Resume,
    Seed,
    StartFrom,
    TrainingDevice,
    parsed_labels,
    parsed_weights,
)
from model.progress import doing

log = logging.getLogger("annotate.train")
app = Program(no_args_is_help=True)

_DATA_HELP = (
    "Labelled face crops: a folder of class folders (with or without train, val and test above them), fer2013.csv "
    "(compressed or not), or a CSV or Parquet table of path and label. Further columns: x, y, width and height of the "
    f"face in the photograph, part, and source, if the table holds several data sets. {FILES_HELP} Several are learned "
    "together."
)
_LABELS_HELP = "Classes of the data if they are not the emotions, in the order of the output's columns."
_TEACHER_HELP = "Learn half of the labels from this model's answers on the training images (repeatable)."
_SHARE_HELP = "How much the votes count in what is learned of FER2013's rows; the rest are its own labels."
_KEEP_HELP = "With --start-from: share of that model's weights in the mean of its weights and the new ones."
_WEIGHT_HELP = "How often an epoch shows the images of the data set NAME, on average (repeatable).  [default: once]"
_LOADING = "loading Keras"
_KEPT = "finished epochs are kept; the same command with --resume goes on from there"


@app.callback()
def family(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Train the networks that annotate uses."""


@app.command()
def emotions(
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help=_DATA_HELP)],
    votes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FER+'s fer2013new.csv: ten crowd votes for each row.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(metavar="DIR", help=ANNOTATIONS_HELP)] = None,
    labels: Annotated[str | None, typer.Option(metavar="A,B,C", help=_LABELS_HELP)] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Model to write; NAME.json comes beside it.")
    ] = Path("emotions.keras"),
    epochs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Passes over the images, each in another variant.")
    ] = 60,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Images a step.")] = 128,
    copies: Annotated[
        int, typer.Option(min=1, metavar="N", help="Unique variants of each image, the first the image itself.")
    ] = 17,
    learning_rate: LearningRate = 0.1,
    logit_adjustment: Annotated[
        float,
        typer.Option(
            min=0, metavar="X", help="How far rare emotions are lifted: 0 not at all, 1 as if all were equally common."
        ),
    ] = 0.3,
    evenness: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="How much more often rare emotions are shown: 1 as often as any, 0 as they come.",
        ),
    ] = 0.0,
    weight: Annotated[list[str] | None, typer.Option(metavar="NAME=W", help=_WEIGHT_HELP)] = None,
    progressive: Annotated[
        bool, typer.Option("--progressive", help="Begin on shrunken crops: nearly twice as fast in all.")
    ] = False,
    votes_share: Annotated[float, typer.Option(min=0, max=1, metavar="P", help=_SHARE_HELP)] = 1.0,
    patience: Patience = 15,
    seed: Seed = 0,
    device: TrainingDevice = Device.AUTO,
    mixed_precision: MixedPrecision = False,
    resume: Resume = False,
    keep: Annotated[float, typer.Option(min=0, max=1, metavar="P", help=_KEEP_HELP)] = 0.0,
    start_from: StartFrom = None,
    teacher: Annotated[list[Path] | None, typer.Option(metavar="FILE", help=_TEACHER_HELP)] = None,
    preview: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Paint the variants of a few images as a PNG, and do no more.")
    ] = None,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
) -> None:
    """Train the emotion CNN on labelled face crops.

    Beside the model come NAME.json (labels, figures, command), NAME.csv (a row per epoch), NAME.figures (pictures)
    and NAME.tensorboard. Exit codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    own_labels, weights = parsed_labels(labels), parsed_weights(weight or [])
    if output.suffix != ".keras":
        raise typer.BadParameter(f"expected a name that ends in .keras, received {output}", param_hint="--output")
    if preview is not None and (preview.suffix.lower() != ".png" or (preview.exists() and not preview.is_file())):
        raise typer.BadParameter(f"expected a file that ends in .png, received {preview}", param_hint="--preview")
    with exit_codes(_KEPT):
        from model.extras import require_training_packages

        require_training_packages("matplotlib", "tensorboard", "tf2onnx")
        from jobs.corrections.reader import as_tables
        from jobs.training.face_cuts import cut_face
        from model.bundle import EMOTION_MODEL, read_card
        from model.data.split import check_folder

        start = or_shipped(start_from, EMOTION_MODEL)
        known = own_labels or (read_card(start).labels if start else None)
        for folder in filter(Path.is_dir, data if preview is None else ()):
            check_folder(folder, known)
        with doing(_LOADING):
            from model.emotions.training import EmotionTraining, preview_variants, train_emotions
            from model.training.batches import TrainingSettings

        settings = TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            copies=copies,
            learning_rate=learning_rate,
            logit_adjustment=logit_adjustment,
            evenness=evenness,
            progressive=progressive,
            patience=patience,
            seed=seed,
        )
        job = EmotionTraining(
            as_tables(data, annotations, output.parent, f"{output.stem}."),
            votes,
            output,
            settings,
            mixed_precision,
            resume,
            own_labels,
            weights,
            votes_share,
            device,
            start,
            kept=keep,
            teachers=tuple(or_shipped(one, EMOTION_MODEL) for one in teacher or ()),
            cut=cut_face,
        )
        if preview is not None:
            preview_variants(job, preview)
            return
        bar = sys.stderr.isatty() and not quiet and log_format is LogFormat.TEXT
        train_emotions(job, _bars() if bar else ())


@app.command(name="faces", short_help="Train the CNN that verifies faces.")
def face_verifier(
    photographs: Photographs,
    boxes: Boxes,
    faces: Annotated[
        Path | None, typer.Option(metavar="FILE", help="fer2013.csv: further faces, compressed or not.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Model to write; NAME.glance.onnx and NAME.json come beside it."
        ),
    ] = Path("faces.keras"),
    epochs: Annotated[
        int, typer.Option(min=1, metavar="N", help="Passes over the crops, each in another variant.")
    ] = 12,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Crops a step.")] = 128,
    learning_rate: LearningRate = 0.05,
    patience: Patience = 5,
    seed: Seed = 0,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=1, metavar="N", help="Processes that propose faces.")] = 1,
    resume: Resume = False,
    start_from: StartFrom = None,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
) -> None:
    """Train the CNN that verifies faces, on what our detectors propose in photographs with known faces.

    Exit codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    with exit_codes():
        from model.extras import require_training_packages

        require_training_packages("matplotlib", "tf2onnx")
        from model.bundle import FACE_MODEL

        with doing(_LOADING):
            from jobs.training.faces import FaceTraining, train_faces
            from model.training.batches import TrainingSettings

        settings = TrainingSettings(
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            logit_adjustment=0.0,
            patience=patience,
            seed=seed,
        )
        train_faces(
            FaceTraining(
                photographs,
                boxes,
                faces,
                output,
                settings,
                jobs=jobs,
                resume=resume,
                start_from=or_shipped(start_from, FACE_MODEL),
            )
        )


@app.command(short_help="Train the face detector of --detector cnn.")
def detector(
    photographs: Photographs,
    boxes: Boxes,
    faces: Annotated[
        Path | None, typer.Option(metavar="FILE", help="fer2013.csv: faces to paste in, compressed or not.")
    ] = None,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="Model to write; NAME.onnx and NAME.json come beside it."),
    ] = Path("detector.keras"),
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Rounds of --windows windows, each drawn anew.")] = 80,
    windows: Annotated[int, typer.Option(min=1, metavar="N", help="Windows of an epoch.")] = 8192,
    window_size: Annotated[
        int, typer.Option(min=64, metavar="PIXELS", help="Side of a window; a multiple of 32.")
    ] = 256,
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Windows a step.")] = 64,
    learning_rate: LearningRate = 2e-3,
    patience: Patience = 30,
    seed: Seed = 0,
    device: TrainingDevice = Device.AUTO,
    mixed_precision: MixedPrecision = False,
    resume: Resume = False,
    start_from: StartFrom = None,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
) -> None:
    """Train the face detector, for annotate --detector cnn, on photographs with known faces.

    Exit codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    if window_size % 32:
        raise typer.BadParameter(f"expected a multiple of 32, received {window_size}", param_hint="--window-size")
    with exit_codes(_KEPT):
        from model.extras import require_training_packages

        require_training_packages("matplotlib", "tensorboard")
        from model.bundle import DETECTOR_MODEL

        with doing(_LOADING):
            from jobs.training.detector import DetectorJob, train_face_detector
            from model.detector.training import DetectorTraining

        settings = DetectorTraining(
            epochs=epochs,
            windows=windows,
            window_size=window_size,
            batch_size=batch_size,
            learning_rate=learning_rate,
            patience=patience,
            seed=seed,
        )
        train_face_detector(
            DetectorJob(
                photographs,
                boxes,
                faces,
                output,
                settings,
                mixed_precision=mixed_precision,
                device=device,
                resume=resume,
                start_from=or_shipped(start_from, DETECTOR_MODEL.with_suffix(".keras")),
            )
        )


def _bars() -> tuple[object, ...]:
    from jobs.training.bar import TrainingBar

    return (TrainingBar(),)


if __name__ == "__main__":
    app(prog_name="annotate-train")
