"""Our own face detector: a fully convolutional network, run by ONNX Runtime in the worker."""

from pathlib import Path

import cv2
import numpy as np

from batch.detection.boxes import non_max_suppression, squares_as_of_cascade
from batch.detection.networks import OnnxFile
from batch.errors import DetectorError, NetworkError
from batch.settings import DETECTORS

STRIDES = (8, 16, 32)
"""Distances of the anchor points of the network's maps, in pixels."""
_OUTPUTS = [f"stride_{stride}" for stride in STRIDES]

PADDING = 127
"""Gray level beside the image."""

LEAST = 0.05
"""Scores below are not worth a look."""

_MOST = 400
"""Places of an image that are looked at, best first: as many as a photograph of a crowd needs."""
_SMALL = 200
"""Long side, in pixels, from which on an image is looked at once more at half its size: in the windows that the network
was trained on faces have at most some 250 pixels."""
_HALVES = 2
"""How often at most."""
_OVERLAP = 0.45
"""Boxes that overlap by more (intersection over union) are one face."""
_SHAPES = ((1.0, 1.0), (1.0, 0.75), (0.75, 1.0), (1.0, 0.5), (0.5, 1.0))
"""Shapes of the network's input, as shares of the long side: those that it was measured with."""


class Cnn:
    """The network of ``annotate-train detector``, as ONNX: gray pixels in, a map of scores and boxes per stride out.

    It proposes every box that might be a face: the verifier, which sees a face larger, has a say, too.
    """

    def __init__(self, file: Path) -> None:
        """Load the ONNX file and try it; raises DetectorError if it is another one."""
        origin = DETECTORS["cnn"].origin
        try:
            self._network = OnnxFile(file)
            shapes = [answer.shape for answer in self._network.run(np.zeros((1, 1, 64, 64), np.float32), _OUTPUTS)]
        except NetworkError as error:
            raise DetectorError(f"{error} {origin}") from error
        if shapes != [(1, 5, 64 // stride, 64 // stride) for stride in STRIDES]:
            raise DetectorError(f"{file} is not a face detector of this project's. {origin}")

    def detect(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The faces found, best first, as squares (N, 4), and their scores (N,).

        Those of the image and of its halves, where large ones are small.
        """
        looks = [self.look(gray)]
        for halved in range(1, _HALVES + 1):
            if max(gray.shape) > _SMALL and min(gray.shape) > 1:  # half a pixel is none
                gray = cv2.resize(gray, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
                boxes, scores = self.look(gray)
                looks.append((2**halved * boxes, scores))
        boxes, scores = (np.concatenate(part) for part in zip(*looks, strict=True))
        best = non_max_suppression(boxes, scores, _OVERLAP)
        return squares_as_of_cascade(boxes[best]), scores[best]

    def look(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (N, 4) and scores (N,) of the faces found at this one scale, best first."""
        pixels = letterboxed(gray)[None, None].astype(np.float32)
        maps = [m[0].transpose(1, 2, 0) for m in self._network.run(pixels, _OUTPUTS)]
        boxes, scores = faces_in(maps, LEAST)
        inside = (boxes[:, :2] + boxes[:, 2:] / 2 <= gray.shape[::-1]).all(axis=1)
        return boxes[inside], scores[inside]


def letterboxed(gray: np.ndarray) -> np.ndarray:
    """The image in the upper left of one of a few shapes whose sides are multiples of the last stride."""
    step, (rows, columns) = STRIDES[-1], gray.shape
    long_side = -(-max(rows, columns) // step) * step
    shapes = [tuple(-(-round(share * long_side) // step) * step for share in shape) for shape in _SHAPES]
    height, width = min((h * w, (h, w)) for w, h in shapes if h >= rows and w >= columns)[1]
    padded = np.full((height, width), PADDING, np.uint8)
    padded[:rows, :columns] = gray
    return padded


def faces_in(maps: list[np.ndarray], least: float) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (N, 4) and scores (N,) of an image's maps (rows, columns, 5), each face once, best first."""
    anchor_points, answers, strides = [], [], []
    for stride, answer in zip(STRIDES, maps, strict=True):
        rows, columns = np.nonzero(answer[..., 0] > np.log(least / (1 - least)))
        answers.append(answer[rows, columns])
        anchor_points.append((np.column_stack([columns, rows]) + 0.5) * stride)
        strides.append(np.full((len(rows), 1), stride))
    centres, reach, rows = np.concatenate(anchor_points), np.concatenate(strides), np.concatenate(answers).astype(float)
    scores = 1 / (1 + np.exp(-rows[:, 0]))
    best = np.argsort(-scores, kind="stable")[:_MOST]
    sides = np.exp(np.clip(rows[best, 3:5], -4, 4)) * reach[best]
    boxes = np.concatenate([centres[best] + rows[best, 1:3] * reach[best] - sides / 2, sides], axis=1)
    kept = non_max_suppression(boxes, scores[best], _OVERLAP)
    return boxes[kept], scores[best][kept]
