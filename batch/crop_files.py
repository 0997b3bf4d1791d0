"""Each face as a small picture in a folder of its emotion, for a person to look through and to put right."""

from pathlib import Path

import numpy as np
from PIL import Image

from batch.files import replacing, writing
from batch.names import from_text
from batch.outcome import Outcome


class CropFiles:
    """Writes crops as FOLDER/EMOTION/PATH.FACE.png, PATH being the photograph's below ``parent``.

    What ``annotate-train emotions FOLDER`` reads. A crop that is there, in whichever folder, is left alone: somebody
    may have moved it.
    """

    def __init__(self, folder: Path, parent: Path, labels: tuple[str, ...]) -> None:
        self._folder, self._parent, self._labels = folder, parent, labels

    def write(self, outcome: Outcome) -> None:
        """Write the crops of an outcome whose faces have their probabilities; raises OutputError."""
        if outcome.probabilities is None:
            return
        photograph = outcome.found.file.relative_to(self._parent)
        for number, index in enumerate(outcome.largest_first):
            name = photograph.with_name(f"{photograph.name}.{number}.png")
            emotion = self._labels[int(outcome.probabilities[index].argmax())]
            if not any((self._folder / from_text(label) / name).exists() for label in self._labels):
                self._write(outcome.crops[index], self._folder / from_text(emotion) / name)

    @staticmethod
    def _write(crop: np.ndarray, file: Path) -> None:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with replacing(file) as unfinished:
                Image.fromarray(crop).save(unfinished, format="png")
