"""Each face as a small picture in a folder of its emotion, for a person to look through and to put right."""

import os
from functools import partial
from pathlib import Path

from PIL import Image

from batch.names import from_text
from batch.outcome import Outcome
from batch.roots import picture_place
from batch.tables.files import write_picture


class CropFiles:
    """Writes crops as FOLDER/EMOTION/PATH.FACE.png, PATH being the photograph's below ``parent``.

    What ``annotate-train emotions FOLDER`` reads. A crop that is there, in whichever folder, is left alone: somebody
    may have moved it.
    """

    def __init__(self, folder: Path, parent: Path, labels: tuple[str, ...]) -> None:
        self._folder, self._parent, self._labels = folder, parent, labels

    def write(self, outcome: Outcome) -> None:
        """Write the crops of an outcome that has them; raises OutputError."""
        photograph = picture_place(outcome.found.key).relative_to(self._parent)
        for number, (face, pixels) in enumerate(zip(outcome.faces, outcome.crops, strict=True)):
            name = photograph.with_name(f"{photograph.name}.{number}.png")
            emotion = self._labels[int(face.probabilities.argmax())]
            if not any(os.path.lexists(self._folder / from_text(label) / name) for label in self._labels):
                crop = Image.fromarray(pixels)
                write_picture(self._folder / from_text(emotion) / name, partial(crop.save, format="png"))
