"""``annotate-evaluate``: how good a model is on labelled face crops."""

import json
import logging
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from batch.names import number_of
from jobs.corrections import ANNOTATIONS_HELP, FILES_HELP
from jobs.devices import Device
from jobs.errors import exit_codes
from jobs.log import LogForm, LogFormat, Quiet, show_version, silence_native_libraries, start_logging
from jobs.program import Program
from jobs.shipped import or_shipped

if TYPE_CHECKING:
    from model.bundle import ModelCard
    from model.data.crops import LabelledCrops
    from model.data.datasets import DataSet
    from model.evaluation.predictions import Predictions

log = logging.getLogger("annotate.evaluate")
app = Program()

_DATA_HELP = (
    "Labelled face crops: a folder of class folders, fer2013.csv, or a table of path and label, with or without x, y, "
    f"width and height of the face in the photograph, part, and source. {FILES_HELP}"
)
_MODEL_HELP = "NAME.keras with NAME.json beside it; shipped: the one that ships."
_USAGE_HELP = (
    "Part of the data: train, val, test, FER2013's Usage, or all.  [default: what the model was not trained on]"
)
_KEPT = "no figures were written"


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help=_MODEL_HELP)],
    data: Annotated[list[Path], typer.Argument(metavar="DATA", help=_DATA_HELP)],
    votes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="FER+'s fer2013new.csv: the crowd's majority is the truth.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(metavar="DIR", help=ANNOTATIONS_HELP)] = None,
    usage: Annotated[str | None, typer.Option(metavar="PART", help=_USAGE_HELP)] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Model with the same labels, or shipped, to compare with.")
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for metrics.json and the pictures.")
    ] = Path("evaluation"),
    batch_size: Annotated[int, typer.Option(min=1, metavar="N", help="Faces that the CNN sees at a time.")] = 256,
    device: Annotated[Device, typer.Option(help="Where the CNN runs; gpu fails where there is none.")] = Device.AUTO,
    quiet: Quiet = False,
    log_format: LogForm = LogFormat.TEXT,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Measure a model on labelled faces: metrics.json, table.md, confusion matrix, reliability, prediction grid.

    Several data sets have a row each, and a mean in which each counts the same. With --against both models are
    measured on the same images, and metrics.json has the differences with 95 % intervals of a paired bootstrap. Exit
    codes: 0 done, 2 wrong usage, 5 cannot go on, 130 interrupted, 143 terminated.
    """
    silence_native_libraries()
    start_logging(log_format, quiet)
    with exit_codes(_KEPT):
        from model.extras import require_training_packages

        require_training_packages("matplotlib")
        from jobs.corrections.reader import as_tables
        from jobs.training.face_cuts import cut_face
        from model.bundle import EMOTION_MODEL, read_card
        from model.data.datasets import read_sets
        from model.device import choose_device

        card = read_card(or_shipped(model, EMOTION_MODEL))
        other = read_card(or_shipped(against, EMOTION_MODEL)) if against else None
        used = choose_device(device)
        sources = as_tables(data, annotations, output)
        parts = _parts(read_sets(sources, votes, card.labels, cut_face), usage, card)
        log.info("%s, on %s", number_of(sum(map(len, parts.values())), "image"), used)
        mine = _answers(card, parts, batch_size)
        facts = {
            "model": str(model),
            "data": {name: {"images": len(crops), "sha256": crops.fingerprint()} for name, crops in parts.items()},
            "command": shlex.join(["annotate-evaluate", *sys.argv[1:]]),
        }
        _write(output, facts, mine, model, _answers(other, parts, batch_size) if other else None, against)


def _parts(sets: "list[DataSet]", usage: str | None, card: "ModelCard") -> "dict[str, LabelledCrops]":
    """What of each data set to measure by; says which part it is, and warns of what was trained on."""
    from model.data.trained_on import to_measure_by, trained_on

    facts, parts = card.facts(), {}
    for each in sets:
        part, crops = to_measure_by(each, usage, facts)
        parts[each.name] = crops
        log.info("%s: %s (%s)", each.name, number_of(len(crops), "image"), part)
        seen = int(trained_on(crops, facts).sum())
        if seen:
            log.warning("%s was trained on %d of these %d images: expect less of others", card.path, seen, len(crops))
    return parts


def _answers(card: "ModelCard", parts: "dict[str, LabelledCrops]", batch_size: int) -> "dict[str, Predictions]":
    """The model's answers beside the truth of each data set, by each of its labellings."""
    from model.evaluation.predictions import answers_by_set, columns_of
    from model.inference import Classifier

    classifier = Classifier(card, batch_size)
    columns = columns_of(next(iter(parts.values())).labels, classifier.labels)
    answers = answers_by_set(lambda crops: classifier.predict(crops)[:, columns], parts.items())
    for name, of_one in answers.items():
        figures = of_one.figures
        log.info(
            "%s on %s: accuracy %.4f, mean recall %.4f, macro-F1 %.4f, ECE %.4f, %d images",
            *(card.path.name, name, figures.accuracy, figures.mean_recall, figures.macro_f1, figures.ece),
            figures.images,
        )
    return answers


def _write(
    output: Path,
    facts: dict[str, Any],
    mine: "dict[str, Predictions]",
    model: Path,
    other: "dict[str, Predictions] | None",
    against: Path | None,
) -> None:
    from model.evaluation.pictures import as_png, confusion_matrix, recalls_by_set, write_pictures
    from model.evaluation.predictions import compare, pooled
    from model.evaluation.table import as_json, as_markdown
    from model.files import write_atomically

    write_pictures(output, pooled(mine.values()))
    (output / "recalls.png").write_bytes(as_png(recalls_by_set(mine)))
    facts |= as_json(mine)
    table = as_markdown(mine)
    if other is not None:
        differences = {name: compare(mine[name], other[name]) for name in mine}
        facts["against"] = {"model": str(against), **as_json(other), "difference": differences}
        for name, of_one in differences.items():
            for figure, found in of_one.items():
                log.info("%s, %s: %+.4f (95 %% interval %+.4f to %+.4f)", name, figure, *found.values())
        both = confusion_matrix({str(model): pooled(mine.values()), str(against): pooled(other.values())})
        (output / "against.png").write_bytes(as_png(both))
        table = f"{model}\n\n{table}\n{against}\n\n{as_markdown(other)}"
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    write_atomically(output / "metrics.json", lambda unfinished: unfinished.write_text(text, "utf-8"))
    write_atomically(output / "table.md", lambda unfinished: unfinished.write_text(table, "utf-8"))
    log.info("wrote %s", output.absolute())


if __name__ == "__main__":
    app(prog_name="annotate-evaluate")
