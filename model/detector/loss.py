"""What the face detector learns from: which anchor points answer for which face, and how wrong their answers are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

FACE, IGNORED = 1, -1
"""Kinds of a true box; a row of padding has 0."""

_CANDIDATES = 10
"""Places that answer for a face at most."""
_SCORE_POWER, _FIT_POWER = 1.0, 6.0
"""How much score and fit count in the alignment of a place with a face (Feng et al. 2021, alpha and beta)."""
_FOCUS = 2.0
"""How much more what is wrong counts than what is nearly right (Li et al. 2020, beta)."""
_BOX_SHARE = 2.0


def detector_loss(centres: np.ndarray, strides: np.ndarray) -> Callable[[Any, Any], Any]:
    """Quality focal loss of the scores and GIoU loss of the boxes, with anchor points assigned by task alignment.

    ``centres`` (P, 2) and ``strides`` (P,) are of the network's anchor points. The loss takes truth (N, F, 5), rows of
    left, top, right, bottom in pixels and kind, and the network's answers (N, P, 5), and gives one number. The
    more of them answer for a face well, the better they have to fit it (TOOD, Feng et al. 2021); the score's target is
    the fit (generalised focal loss, Li et al. 2020), the box's loss is 1 - GIoU (Rezatofighi et al. 2019).
    """
    points, reach = ops.convert_to_tensor(centres, "float32"), ops.convert_to_tensor(strides[:, None], "float32")

    def loss(truth: Any, answers: Any) -> Any:
        truth, answers = ops.cast(truth, "float32"), ops.cast(answers, "float32")
        logits, boxes = answers[..., 0], decoded(answers, points, reach)
        quality, face, ignored = assigned(
            truth, ops.stop_gradient(ops.sigmoid(logits)), ops.stop_gradient(boxes), points
        )
        score = ops.sigmoid(logits)
        cross_entropy = ops.maximum(logits, 0) - logits * quality + ops.log1p(ops.exp(-ops.abs(logits)))
        focal = ops.sum(cross_entropy * ops.abs(quality - score) ** _FOCUS * (1 - ignored))
        true = ops.take_along_axis(truth[..., :4], face[..., None], axis=1)
        fit = ops.sum((1 - generalised_iou(true, boxes)) * quality)
        return (focal + _BOX_SHARE * fit) / ops.maximum(ops.sum(quality), 1.0)

    return loss


def decoded(answers: Any, centres: Any, strides: Any) -> Any:
    """Boxes (N, P, 4) as left, top, right, bottom in pixels from answers (N, P, 5)."""
    middle = centres + answers[..., 1:3] * strides
    half = ops.exp(ops.clip(answers[..., 3:5], -4.0, 4.0)) * strides / 2
    return ops.concatenate([middle - half, middle + half], axis=-1)


def assigned(truth: Any, scores: Any, boxes: Any, centres: Any) -> tuple[Any, Any, Any]:
    """For each anchor point its score's target, the face it answers for, and 1 if it is ignored, each (N, P).

    The target is 0 for background. A face is answered for by those of those inside it whose score and box suit
    it best, score * IoU^6; one between two faces by the one that its box fits better.
    """
    left, top, right, bottom, kind = (truth[:, None, :, i] for i in range(5))
    x, y = centres[None, :, None, 0], centres[None, :, None, 1]
    inside = (x > left) & (x < right) & (y > top) & (y < bottom)
    fits = iou(boxes[:, :, None], truth[:, None, :, :4])
    candidate = inside & (kind == FACE)
    alignment = ops.where(candidate, (scores[..., None] + 1e-6) ** _SCORE_POWER * (fits + 1e-3) ** _FIT_POWER, 0.0)
    best = ops.top_k(ops.transpose(alignment, (0, 2, 1)), min(_CANDIDATES, centres.shape[0]))[0]
    chosen = candidate & (alignment >= best[:, None, :, -1])
    fits = ops.where(chosen, fits, -1.0)
    face = ops.argmax(fits, axis=-1)
    mine = chosen & (ops.arange(truth.shape[1]) == face[..., None])
    fit = ops.where(mine, fits, 0.0)
    alignment = ops.where(mine, alignment, 0.0)
    scale = ops.max(fit, axis=1, keepdims=True) / ops.maximum(ops.max(alignment, axis=1, keepdims=True), 1e-30)
    quality = ops.sum(alignment * scale, axis=-1)
    ignored = ops.any(inside & (kind == IGNORED), axis=-1) & ~ops.any(mine, axis=-1)
    return ops.stop_gradient(quality), face, ops.cast(ignored, "float32")


def iou(first: Any, second: Any) -> Any:
    """Intersection over union of boxes (…, 4) as left, top, right, bottom."""
    shared, union, _ = _areas(first, second)
    return shared / union


def generalised_iou(first: Any, second: Any) -> Any:
    """IoU less the share of the box around both that neither covers (Rezatofighi et al. 2019), (…,), -1 to 1."""
    shared, union, around = _areas(first, second)
    return shared / union - (around - union) / around


def _areas(first: Any, second: Any) -> tuple[Any, Any, Any]:
    sides = ops.maximum(ops.minimum(first[..., 2:], second[..., 2:]) - ops.maximum(first[..., :2], second[..., :2]), 0)
    around = ops.maximum(first[..., 2:], second[..., 2:]) - ops.minimum(first[..., :2], second[..., :2])
    shared = sides[..., 0] * sides[..., 1]
    return shared, _area(first) + _area(second) - shared + 1e-6, around[..., 0] * around[..., 1] + 1e-6


def _area(box: Any) -> Any:
    return (box[..., 2] - box[..., 0]) * (box[..., 3] - box[..., 1])
