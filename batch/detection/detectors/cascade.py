"""Windows that may hold a face, proposed by a Haar cascade that stops early."""

from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from batch.detection.boxes import non_max_suppression
from batch.detection.glance import Glance
from batch.errors import DetectorError


class Cascade:
    """OpenCV's frontal Haar cascade ``alt2`` (Lienhart and Maydt 2002) without its last stages.

    The last stages are the ones that reject most faces, and the slowest. Without them the cascade proposes more faces
    in less time, and many windows without one: most of them go at a glance, and a verifier has to tell the others
    apart. The score of a box is the sum of the last stage's votes squashed to 0-1, which ranks boxes but is no
    probability.
    """

    STAGES = 12
    """How many of the 20 stages are asked."""
    SCALE_FACTOR = 1.2
    SMALLEST = 20
    """Smallest window, in pixels of the image that the detector sees: the one that the cascade was trained on."""
    OVERLAP = 0.65
    """Of two windows that overlap by more (intersection over union), the one with fewer votes is dropped."""

    MOST = 1 / 2
    """Boxes at most, those with most votes, per pixel of the long side of the image that the detector sees."""

    def __init__(self, glance: Path | None = None) -> None:
        """Load the cascade, and the network that glances at its windows; without one all are proposed."""
        self._glance = Glance(glance) if glance else None
        file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
        self._cascade = _shortened(file, self.STAGES)

    def detect(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The windows proposed (N, 4), most votes first, and their scores (N,)."""
        windows, _, sums = self._cascade.detectMultiScale3(
            gray,
            scaleFactor=self.SCALE_FACTOR,
            minNeighbors=0,
            minSize=(self.SMALLEST, self.SMALLEST),
            outputRejectLevels=True,
        )
        if len(windows) == 0:
            return np.empty((0, 4)), np.empty(0)
        boxes, votes = np.asarray(windows, float), np.asarray(sums, float).ravel()
        kept = non_max_suppression(boxes, votes, self.OVERLAP)[: round(max(gray.shape) * self.MOST)]
        if self._glance:
            kept = kept[self._glance.likely(gray, boxes[kept])]
        return boxes[kept], 1 / (1 + np.exp(-votes[kept]))


def _shortened(file: Path, stages: int) -> "cv2.CascadeClassifier":  # OpenCV 5 has none
    """Load the first ``stages`` stages of a cascade; raises DetectorError if OpenCV does not bring it."""
    try:
        tree = ElementTree.parse(file).getroot()  # noqa: S314 - a file of OpenCV's own
        cascade = tree[0]
        every, number = cascade.find("stages"), cascade.find("stageNum")
        if every is None or number is None:
            raise ValueError("it has no stages")
        for stage in list(every)[stages:]:
            every.remove(stage)
        number.text = str(stages)
        text = '<?xml version="1.0"?>' + ElementTree.tostring(tree, encoding="unicode")
        storage = cv2.FileStorage(text, cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        classifier = cv2.CascadeClassifier()
        if not classifier.read(storage.getFirstTopLevelNode()):
            raise ValueError("OpenCV does not read it")
    except (AttributeError, OSError, ValueError, ElementTree.ParseError, cv2.error) as error:
        fix = "Install opencv-python-headless >=4.12,<5."
        raise DetectorError(f"OpenCV's cascade {file} cannot be used: {error}. {fix}") from error
    return classifier
