"""Windows that may hold a face, proposed by a Haar cascade that stops early."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np

from batch.detection.boxes import non_max_suppression
from batch.detection.glance import Glance
from batch.errors import DetectorError


class Cascade:
    """OpenCV's frontal Haar cascade ``alt2`` (Lienhart and Maydt 2002) without its last stages, and stricter at first.

    The last stages are the ones that reject most faces. Without them the cascade proposes more faces, and many windows
    without one: most of them go at a glance, and a verifier has to tell the others apart. The first stages take most of
    the time, and were made to pass nearly every window on a face; as each face has many, they may ask for more votes.
    The score of a box is the sum of the last stage's votes squashed to 0-1, which ranks boxes but is no probability.
    """

    STAGES = 10
    """How many of the 20 stages are asked."""
    LEAST_VOTES = (1.2, 4.2, 6.5, 8.8)
    """What a window needs in the first stages in place of 0.35, 3.47, 5.98 and 8.51: about what 19 in 20 of the windows
    that lie on faces have (``tests/benchmarks/cascade_stages.py``)."""
    SCALE_FACTOR = 1.15
    SMALLEST = 20
    """Smallest window, in pixels of the image that the detector sees: the one that the cascade was trained on."""
    OVERLAP = 0.65
    """Of two windows that overlap by more (intersection over union), the one with fewer votes is dropped."""

    MOST = 1 / 2
    """Boxes at most, those with most votes, per pixel of the long side of the image that the detector sees."""

    def __init__(self, glance: Path | None = None) -> None:
        """Load the cascade, and the network that glances at its windows; without one all are proposed."""
        self._glance = Glance(glance) if glance else None
        self._cascade = haar_cascade(self.STAGES, self.LEAST_VOTES)

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


def haar_cascade(stages: int, least_votes: Sequence[float] = ()) -> "cv2.CascadeClassifier":  # OpenCV 5 has none
    """The first ``stages`` stages of OpenCV's ``alt2``, with these thresholds of the first of them.

    Raises DetectorError if OpenCV does not bring it.
    """
    file = Path(cv2.__file__).parent / "data" / "haarcascade_frontalface_alt2.xml"
    try:
        tree = ElementTree.parse(file).getroot()  # noqa: S314 - a file of OpenCV's own
        cascade = tree[0]
        every, number = cascade.find("stages"), cascade.find("stageNum")
        if every is None or number is None:
            raise ValueError("it has no stages")
        for stage in list(every)[stages:]:
            every.remove(stage)
        for threshold, least in zip(every.iter("stageThreshold"), least_votes, strict=False):
            threshold.text = str(least)
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
