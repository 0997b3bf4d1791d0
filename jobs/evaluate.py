"""``annotate-evaluate``: how good a model is on labelled face crops."""

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.devices import Device
from jobs.errors import exit_codes
from jobs.log import LogFormat, show_version, silence_native_libraries, start_logging

if TYPE_CHECKING:
    from model.data.crops import LabelledCrops
    from model.evaluation.predictions import Predictions

log = logging.getLogger("annotate.evaluate")
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

_DATA_HELP = "Labelled face crops: a folder of class folders, fer2013.csv, or a table of path and label."
_USAGE_HELP = "Part of the data: train, val, test or FER2013's Usage.  [default: test, else val, else all of it]"
_KEPT = "nothing was written"


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="NAME.keras with NAME.json beside it.")],
    faces: Annotated[Path, typer.Argument(metavar="DATA", help=_DATA_HELP)],
    votes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FER+'s fer2013new.csv: the crowd's majority is the truth.")
    ] = None,
    usage: Annotated[str | None, typer.Option(metavar="PART", help=_USAGE_HELP)] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Another model with the same labels, to compare with.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for metrics.json and the pictures.")
    ] = Path("evaluation"),
    batch_size: Annotated[int, typer.Option(min=1, help="Faces that the CNN sees at a time.")] = 256,
    device: Annotated[Device, typer.Option(help="Where the CNN runs; gpu fails where there is none.")] = Device.AUTO,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Warnings and errors only.")] = False,
    log_format: Annotated[LogFormat, typer.Option(help="Form of the log lines on stderr.")] = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure a model on labelled face crops: metrics.json, confusion matrix, reliability, prediction grid.

    With --against both models are measured on the same images, and metrics.json has the differences with 95 %
    intervals of a paired bootstrap. Exit codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143
    terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    with exit_codes(_KEPT):
        from model.extras import require_training_packages

        require_training_packages("matplotlib")
        from model.bundle import read_card
        from model.data.datasets import read_parts, select_part
        from model.device import choose_device

        labels = read_card(model).labels
        used = choose_device(device)
        crops = select_part(read_parts(faces, votes, labels), usage, faces)
        log.info("%d images of %s, on %s", len(crops), faces, used)
        mine = _answers(model, crops, batch_size)
        figures: dict[str, Any] = {"model": str(model), "data": str(faces), "data_sha256": crops.fingerprint()}
        figures |= {"command": shlex.join(["annotate-evaluate", *sys.argv[1:]]), "truth": crops.labelling}
        figures |= mine[crops.labelling].figures.as_json()
        figures |= {f"by_{name}": x.figures.as_json() for name, x in mine.items() if name != crops.labelling}
        other = _answers(against, crops, batch_size)[crops.labelling] if against else None
        _write(output, figures, mine[crops.labelling], model, other, against)


def _answers(model: Path, crops: "LabelledCrops", batch_size: int) -> "dict[str, Predictions]":
    """The model's answers beside the truth of each labelling."""
    from model.bundle import read_card
    from model.evaluation.predictions import columns_of, predictions
    from model.inference import Classifier

    classifier = Classifier(read_card(model), batch_size)
    columns = columns_of(crops.labels, classifier.labels)
    probabilities = classifier.predict(crops.images)[:, columns]
    answers = {name: predictions(crops, probabilities, name) for name in crops.truth}
    for name, of_one in answers.items():
        figures = of_one.figures
        log.info(
            "%s by %s: accuracy %.4f, macro-F1 %.4f, mean recall %.4f, ECE %.4f, %d images",
            *(model.name, name, figures.accuracy, figures.macro_f1, figures.mean_recall, figures.ece, figures.images),
        )
    return answers


def _write(
    output: Path,
    figures: dict[str, Any],
    mine: "Predictions",
    model: Path,
    other: "Predictions | None",
    against: Path | None,
) -> None:
    from model.evaluation.pictures import as_png, confusion_matrix, write_pictures
    from model.evaluation.predictions import compare
    from model.files import write_atomically

    write_pictures(output, mine)
    if other is not None:
        differences = compare(mine, other)
        figures["against"] = {"model": str(against), **other.figures.as_json(), "difference": differences}
        for name, found in differences.items():
            log.info("%s: %+.4f (95 %% interval %+.4f to %+.4f)", name, *found.values())
        both = confusion_matrix({str(model): mine, str(against): other})
        (output / "against.png").write_bytes(as_png(both))
    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    write_atomically(output / "metrics.json", lambda unfinished: unfinished.write_text(text, "utf-8"))
    log.info("wrote %s", output.absolute())
