"""Batches of faces across images."""

import numpy as np
import pytest

from batch.outcome import Box, Found, Key, Outcome, Status
from jobs.annotation.face_batches import label_faces


def outcome(number: int, faces: int) -> Outcome:
    crops = np.full((faces, 48, 48), number, np.uint8) + np.arange(faces, dtype=np.uint8)[:, None, None]
    boxes = tuple(Box(0, 0, 1, 1, 1) for _ in range(faces))
    return Outcome(Found(Key("r", str(number)), 1, 1), Status.OK, boxes=boxes, crops=crops)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_face_gets_its_own_answer(batch_size: int) -> None:
    """Faces come back to their images in order, in full batches whatever the number of faces of an image."""
    sizes = []

    def predict(crops: np.ndarray) -> np.ndarray:
        sizes.append(len(crops))
        return crops[:, :1, 0].astype(float)

    outcomes = [outcome(number, faces) for number, faces in enumerate([0, 3, 0, 20, 1, 0, 5, 40, 0])]
    labelled = list(label_faces(outcomes, predict, batch_size))
    assert [one.found for one in labelled] == [one.found for one in outcomes]
    for one in labelled:
        expected = one.crops[:, :1, 0].astype(float)
        assert (one.probabilities is None and len(expected) == 0) or np.array_equal(one.probabilities, expected)
    assert all(size == batch_size for size in sizes[:-1])


def test_faces_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where images come slowly, a batch that is not full is predicted all the same, so that a kill costs little."""
    seconds = iter(range(0, 1000, 4))
    monkeypatch.setattr("jobs.annotation.face_batches.time.monotonic", lambda: next(seconds))
    sizes: list[int] = []

    def predict(crops: np.ndarray) -> np.ndarray:
        sizes.append(len(crops))
        return np.zeros((len(crops), 7))

    assert len(list(label_faces([outcome(i, 1) for i in range(10)], predict, 64))) == 10
    assert len(sizes) > 2
