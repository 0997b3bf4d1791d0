"""An output of annotate, opened in a notebook: tables joined, and faces as arrays."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from batch.images.decode import read_picture
from batch.outcome import Key
from batch.roots import image_source
from batch.tables.snapshot import read_annotations

_OF_THE_IMAGE = {"taken_at": "taken_at", "width": "image_width", "height": "image_height", "faces": "faces_in_image"}


@dataclass(frozen=True)
class OpenedAnnotations:
    """The tables of an output, both of one run.

    ``faces`` has a row per face with its image's ``taken_at``, ``image_width``, ``image_height`` and ``faces_in_image``
    behind its own columns; ``images`` has a row per image found. ``labels`` are the emotions, in the order of their
    columns.
    """

    faces: pd.DataFrame
    images: pd.DataFrame
    labels: tuple[str, ...]

    def crops(self, faces: pd.DataFrame | None = None, side: int = 96, around: float = 1.0) -> np.ndarray:
        """Cut faces (rows of ``faces``; by default all) out of their photographs -> (N, side, side, 3) uint8 RGB.

        The square has the box's centre and ``around`` times its longer side; beyond the border it is black.
        Raises ImageError if a photograph cannot be read any more, TransientError if not for now, or if its archive has
        been replaced, RootError if its root is not there.
        """
        versions = self.images[["root", "path", "size_bytes", "modified_ns"]]
        rows = (self.faces if faces is None else faces).merge(versions, on=["root", "path"], how="left")
        cut = np.empty((len(rows), side, side, 3), np.uint8)
        for (root, path), of_image in rows.groupby(["root", "path"], sort=False):
            sides = of_image[["width", "height"]].max(axis=1) * around
            version = int(of_image["size_bytes"].iloc[0]), int(of_image["modified_ns"].iloc[0])
            source = image_source(Key(str(root), str(path)), version)
            picture, scale = read_picture(source, least=float(2 * side / sides.min()))
            for number, length in sides.items():
                face = of_image.loc[number]
                left = round((face["x"] + face["width"] / 2 - length / 2) * scale)
                top = round((face["y"] + face["height"] / 2 - length / 2) * scale)
                square = picture.crop(
                    (left, top, left + max(1, round(length * scale)), top + max(1, round(length * scale)))
                )
                cut[number] = np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))
        return cut


def open_annotations(output: str | Path = "annotations") -> OpenedAnnotations:
    """Open the output folder of annotate; raises OutputError if there are no tables in it, or damaged ones."""
    faces, images = read_annotations(Path(output))
    of_images = images[["root", "path", *_OF_THE_IMAGE]].rename(columns=_OF_THE_IMAGE)
    labels = tuple(faces.columns[faces.columns.get_loc("confidence") + 1 :])
    return OpenedAnnotations(faces.merge(of_images, on=["root", "path"], how="left"), images, labels)
