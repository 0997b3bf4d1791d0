"""Windows cut out of photographs at random scales, with the faces in them: what the detector is trained on."""

from dataclasses import dataclass

import cv2
import numpy as np

from batch.detection.detectors.cnn import PADDING

FACE, IGNORED = 1, -1
"""Kinds of a face in a window: to be found, or too small or too much cut off to be asked for."""

NATIVE = 10
"""Least height of a face, in pixels of the photograph, that windows are cut around."""

_SMALLEST = 16
"""Least height of a face to be found, in pixels of the window."""
_ENLARGED = 1.6
_VISIBLE, _GONE = 0.5, 0.1
"""Shares of a face within the window: from the first on it is to be found, under the second it is not there."""
_WITHOUT_FACE = 0.25
_MISTAKEN = 0.15
_PASTED = 0.35
"""Shares of the windows that are cut out anywhere, around what was mistaken for a face, and into which further faces
are pasted."""
_PASTED_SIDES = np.array([0.81, 1.08])
"""Width and height of a pasted crop's face, in sides of the crop: FER2013's crops beside WIDER FACE's boxes."""


@dataclass(frozen=True)
class Window:
    """``pixels`` (size, size) uint8 and ``faces`` (F, 5): left, top, right, bottom in its pixels, and kind."""

    pixels: np.ndarray
    faces: np.ndarray


def cut_window(
    gray: np.ndarray,
    faces: np.ndarray,
    mistaken: np.ndarray,
    size: int,
    further: np.ndarray | None,
    rng: np.random.Generator,
) -> Window:
    """Cut a square window out of a photograph (rows, columns) uint8 with true ``faces`` (F, 4), and vary it.

    What an earlier detector has ``mistaken`` for faces (M, 4) is shown more often than the rest of the photograph.
    ``further`` (N, 48, 48) are face crops, some of which are pasted in.
    """
    scale, corner = _draw_place(gray, faces, mistaken, size, rng)
    pixels = _resampled(gray, corner, scale, size)
    boxes = np.concatenate([faces[:, :2], faces[:, :2] + faces[:, 2:]], axis=1)
    boxes = (boxes - np.tile(corner, 2)) * np.tile(scale, 2)
    kept = _with_kind(boxes, size)
    if further is not None and rng.random() < _PASTED:
        kept = _paste(pixels, kept, further, rng)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
        kept[:, [0, 2]] = size - kept[:, [2, 0]]
    return Window(_varied(pixels, rng), kept)


def _draw_place(
    gray: np.ndarray, faces: np.ndarray, mistaken: np.ndarray, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Scale (2,) in x and y, and the window's corner (2,) in pixels of the photograph."""
    sides = np.array(gray.shape[::-1], float)
    wrong = len(mistaken) > 0 and rng.random() < _MISTAKEN
    worth = mistaken if wrong else faces[faces[:, 3] >= NATIVE]
    whole = size / sides.max()
    if len(worth) and (wrong or rng.random() >= _WITHOUT_FACE):
        face = worth[rng.integers(len(worth))]
        target = np.exp(rng.uniform(np.log(_SMALLEST), np.log(0.8 * size)))
        scale = np.clip(target / face[3], 0.7 * whole, _ENLARGED)
    else:
        face = np.array([*(rng.random(2) * sides), 0, 0])
        scale = np.exp(rng.uniform(np.log(min(whole, 1.0)), 0))
    scale = scale * np.exp(rng.uniform(-0.1, 0.1, 2))
    room = size / scale - face[2:]
    corner = face[:2] - room / 2 + (rng.random(2) - 0.5) * np.maximum(0, room)
    left = sides - size / scale
    return scale, np.clip(corner, np.minimum(0, left), np.maximum(0, left))


def _resampled(gray: np.ndarray, corner: np.ndarray, scale: np.ndarray, size: int) -> np.ndarray:
    """What of the photograph is in the window; shrinking averages."""
    shrink = min(1.0, float(scale.max()) * 1.2)
    if shrink < 0.7:
        rows, columns = gray.shape
        smaller = (max(1, round(columns * shrink)), max(1, round(rows * shrink)))
        gray = cv2.resize(gray, smaller, interpolation=cv2.INTER_AREA)
        ratio = np.array([smaller[0] / columns, smaller[1] / rows])
        corner, scale = corner * ratio, scale / ratio
    step = 1 / scale
    to_gray = np.array([[step[0], 0, corner[0] + (step[0] - 1) / 2], [0, step[1], corner[1] + (step[1] - 1) / 2]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    border = cv2.BORDER_CONSTANT
    window = cv2.warpAffine(gray, to_gray, (size, size), flags=flags, borderMode=border, borderValue=PADDING)
    return np.asarray(window)


def _with_kind(boxes: np.ndarray, size: int) -> np.ndarray:
    """The boxes (F, 4) that reach into the window, cut at its border, with their kind (F, 5)."""
    inside = np.clip(boxes, 0, size)
    visible = (inside[:, 2:] - inside[:, :2]).prod(axis=1) / np.maximum(
        (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-6
    )
    tall = inside[:, 3] - inside[:, 1] >= _SMALLEST
    kind = np.where(tall & (visible >= _VISIBLE), FACE, IGNORED)
    return np.asarray(np.column_stack([inside, kind])[visible >= _GONE])


def _paste(pixels: np.ndarray, faces: np.ndarray, further: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blend a few face crops in, where no face is, with a soft oval edge; the faces then (F, 5)."""
    size = len(pixels)
    for _ in range(rng.integers(1, 4)):
        crop = further[rng.integers(len(further))]
        side = round(np.exp(rng.uniform(np.log(_SMALLEST), np.log(0.6 * size))))
        left, top = rng.integers(0, size - side + 1, 2)
        middle = np.array([left, top]) + side / 2
        half = _PASTED_SIDES * side / 2
        box = np.clip(np.concatenate([middle - half, middle + half]), 0, size)
        shared = np.minimum(box[2:], faces[:, 2:4]) - np.maximum(box[:2], faces[:, :2])
        if (shared > 0).all(axis=1).any():
            continue
        kind = cv2.INTER_AREA if side < len(crop) else cv2.INTER_CUBIC
        face = cv2.resize(crop, (side, side), interpolation=kind).astype(np.float32)
        across = (np.arange(side) + 0.5) / side * 2 - 1
        distance = np.hypot(across[None, :] / 0.95, across[:, None])
        soft = rng.uniform(0.05, 0.3)
        mask = np.clip((1 - distance) / soft, 0, 1)
        under = pixels[top : top + side, left : left + side]
        under[:] = np.clip(np.round(mask * face + (1 - mask) * under), 0, 255).astype(np.uint8)
        faces = np.concatenate([faces, [[*box, FACE]]])
    return faces


def _varied(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Other exposure and contrast, and now and then blur, noise or JPEG's traces."""
    levels = np.arange(256) / 255
    levels = levels ** np.exp(rng.uniform(-0.4, 0.4))
    levels = (levels - 0.5) * np.exp(rng.uniform(-0.5, 0.25)) + 0.5 + rng.uniform(-0.15, 0.15)
    table = np.clip(np.round(levels * 255), 0, 255).astype(np.uint8)
    varied = cv2.LUT(np.ascontiguousarray(pixels), table)
    if rng.random() < 0.15:
        varied = cv2.GaussianBlur(varied, (0, 0), rng.uniform(0.4, 1.5))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 10), varied.shape)
        varied = np.clip(np.round(varied + noise), 0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        coded = cv2.imencode(".jpg", varied, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 70))])[1]
        varied = np.asarray(cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE))
    return varied
