"""Batches of faces across images, as a GPU wants them."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from batch.detection.faces import CLASSIFY, VERIFY
from batch.outcome import ImageFile, Key, Outcome, Proposals, Result, Status
from batch.settings import DetectorSettings, WorkerSettings
from jobs.annotation import gpu
from jobs.annotation.batches import in_batches
from jobs.annotation.places import NetworkSettings
from jobs.annotation.run_report import RunReport


def proposals(number: int, faces: int, side: int = 48) -> Proposals:
    cut = np.full((faces, side, side), number, np.uint8)
    boxes = np.column_stack([np.arange(faces) * 100.0, np.zeros(faces), np.full((faces, 2), 20)])
    return Proposals(
        ImageFile(Key("r", str(number)), 1, 1),
        9999,
        9999,
        None,
        boxes,
        np.full(faces, 0.9),
        cut,
        np.zeros((faces, 3)),
        {},
    )


class Echo:
    """A network whose every answer is the crop's gray level, and which knows what it was asked."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, crops: np.ndarray) -> np.ndarray:
        """Answer (N, 2)."""
        self.sizes.append(len(crops))
        return crops[:, 0, :2].astype(float)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_every_face_gets_its_own_answer(batch_size: int) -> None:
    """Faces come back to their images in order, in full batches whatever the number of faces of an image."""
    results: list[Result] = [proposals(n, faces) for n, faces in enumerate([0, 3, 0, 20, 1, 0, 5, 40, 0])]
    results.insert(4, Outcome(ImageFile(Key("r", "4.5"), 1, 1), Status.UNREADABLE, "damaged"))
    echo, settings = Echo(), WorkerSettings(DetectorSettings("yunet"))
    outcomes = list(in_batches(results, settings, {CLASSIFY: (echo, batch_size)}))
    assert [one.found for one in outcomes] == [one.found for one in results]
    for result, outcome in zip(results, outcomes, strict=True):
        expected = len(result.boxes) if isinstance(result, Proposals) else 0
        assert [face.probabilities[0] for face in outcome.faces] == [float(result.found.key.path)] * expected
    assert outcomes[4] is results[4]
    assert all(size == batch_size for size in echo.sizes[:-1])


def test_verifier_and_classifier_take_turns() -> None:
    """What is verified is labelled, each in batches of its own."""
    emotions, looks = Echo(), []

    def verifier(crops: np.ndarray) -> np.ndarray:
        looks.append(len(crops))
        return np.column_stack([np.zeros(len(crops)), np.where(crops[:, 0, 0] % 2, 0.9, 0.1)])

    results = [proposals(number, 3, side=72) for number in range(20)]
    outcomes = list(in_batches(results, WorkerSettings(), {VERIFY: (verifier, 16), CLASSIFY: (emotions, 4)}))
    assert [len(outcome.faces) for outcome in outcomes] == [0, 3] * 10
    assert looks[:3] == [16] * 3 and sum(looks) == 2 * 60
    assert sum(emotions.sizes) == 30


def test_faces_do_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where images come slowly, batches that are not full are asked all the same, so that a kill costs 5 s of work."""
    seconds = iter(range(1000))
    monkeypatch.setattr("jobs.annotation.batches.time.monotonic", lambda: next(seconds))
    arrived = [0]

    def slowly() -> Result:
        for number in range(30):
            arrived[0] = number
            yield proposals(2 * number + 1, 1, side=72)

    sure = np.array([[0.0, 1.0]])
    networks = {name: (lambda crops: sure.repeat(len(crops), axis=0), 64) for name in (VERIFY, CLASSIFY)}
    waited = [arrived[0] - n for n, _ in enumerate(in_batches(slowly(), WorkerSettings(), networks))]
    assert max(waited) <= 5


def test_only_the_emotions_network_heeds_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verifier always sees as many at a time; a label that is left out is so wherever it stands."""
    asked: dict[str, int] = {}

    def timed(card: SimpleNamespace, batch_size: int, *_: object) -> Echo:
        asked[card.name] = batch_size
        return Echo()

    monkeypatch.setattr(gpu, "_timed", timed)
    monkeypatch.setattr(gpu, "choose_device", lambda device: device)
    emotions, verifier = SimpleNamespace(name="emotions", labels=("neutral", "joy")), SimpleNamespace(name="verifier")
    networks = gpu._networks(NetworkSettings(emotions, verifier, 9, "gpu", "neutral", Path()), RunReport())
    assert asked == {"emotions": 9, "verifier": 256}
    assert {name: size for name, (_, size) in networks.items()} == {CLASSIFY: 9, VERIFY: 256}
    assert networks[CLASSIFY][0](np.full((3, 48, 48), 4, np.uint8)).tolist() == [[1]] * 3
