"""What a training says of itself while it runs: log lines, a CSV table, pictures for TensorBoard."""

import io
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from model.data.crops import OWN, LabelledCrops
from model.data.split import in_turn
from model.evaluation.pictures import as_png, confusion_matrix
from model.evaluation.predictions import answers_by_set
from model.files import write_atomically
from model.training.augmentation import variants_sheet
from model.training.batches import TrainingSet, TrainingSettings
from model.training.checkpoint import AS_NAMED_NOW

log = logging.getLogger("annotate.train")


class EpochLog(keras.callbacks.Callback):
    """Log one line per epoch and, if one is named, write it to a CSV table.

    The table of a training that goes on keeps the epochs before; a row of the epoch that a kill cut off before it
    was saved is written anew.
    """

    def __init__(self, csv: Path | None = None) -> None:
        super().__init__()
        self._csv = csv
        self._rows: list[dict[str, Any]] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the epoch's clock."""
        self._started = time.monotonic()
        if self._rows is None:
            there = epoch and self._csv and self._csv.exists()
            known = pd.read_csv(self._csv).rename(columns=AS_NAMED_NOW).to_dict("records") if there else []
            self._rows = known[:epoch]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log and write the epoch's losses and accuracies and how long it took."""
        seconds, rows = time.monotonic() - self._started, self._rows or []
        figures = "  ".join(f"{name} {figure:.4f}" for name, figure in (logs or {}).items())
        log.info("epoch %d/%d  %.0f s  %s", epoch + 1, self.params["epochs"], seconds, figures)
        rows.append({"epoch": epoch + 1, "seconds": round(seconds, 2), **(logs or {})})
        self._rows = rows
        if self._csv:
            write_atomically(self._csv, lambda unfinished: pd.DataFrame(rows).to_csv(unfinished, index=False))


class TensorBoardPictures(keras.callbacks.Callback):
    """Show TensorBoard some variants of training images, and the confusion matrix on the validation part.

    The matrix is drawn after the first epoch and then every ``every`` epochs, as it costs a pass over that part.
    Keras' own callback writes the scalars; its pictures would need TensorFlow as the backend.
    """

    def __init__(
        self,
        folder: Path,
        sets: Sequence[TrainingSet],
        settings: TrainingSettings,
        every: int = 5,
    ) -> None:
        super().__init__()
        self._folder, self._sets, self._settings, self._every = folder, sets, settings, every

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Show the variants."""
        self._writer = EventFileWriter(str(self._folder))
        self._show("augmented_samples", sheet_png([each.crops for each in self._sets], self._settings), 0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Show the confusion matrix, if it is time to."""
        if epoch and (epoch + 1) % self._every:
            return
        answers = answers_by_set(self._predict, [(each.name, each.validation) for each in self._sets])
        for name, of_one in answers.items():
            self._show(f"confusion_matrix/{name}", as_png(confusion_matrix({"": of_one}), dots_per_inch=80), epoch)

    def _predict(self, crops: np.ndarray) -> np.ndarray:
        logits = self.model.predict(crops[..., None].astype("float32"), batch_size=256, verbose=0)[OWN]
        return np.asarray(keras.ops.softmax(logits))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Close the event file."""
        self._writer.close()

    def _show(self, name: str, png: bytes, step: int) -> None:
        width, height = Image.open(io.BytesIO(png)).size
        image = Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=3)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=summary))
        self._writer.flush()


def sheet_png(sets: Sequence[LabelledCrops], settings: TrainingSettings, images: int = 7) -> bytes:
    """All variants of a few images of each set, of every class in turn, as a PNG file."""
    sheets, first = [], 0
    for crops in sets:
        rows = in_turn(crops.truth[crops.labelling])[:images]
        sheets.append(variants_sheet(crops.images[rows], first + rows, settings.seed, settings.copies))
        first += len(crops)
    sheet = np.concatenate(sheets)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "png")
    return buffer.getvalue()
