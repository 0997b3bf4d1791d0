"""Faces of many images in full batches for networks on a GPU, and back to their images."""

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from batch.detection.faces import labelled_faces
from batch.detection.networks import Network
from batch.outcome import Outcome, Proposals, Result
from batch.settings import WorkerSettings

FLUSH_SECONDS = 5.0
"""How long a face waits for batches to fill at most, so that a kill costs no more work than that."""


@dataclass
class Batches:
    """Crops that wait for a network, in the order in which they came, and whose they are."""

    network: Network
    size: int
    crops: deque[np.ndarray] = field(default_factory=deque)
    owners: deque["_Underway"] = field(default_factory=deque)

    def add(self, owner: "_Underway", crops: np.ndarray) -> None:
        """Let an image's crops wait."""
        self.crops.extend(crops)
        self.owners.extend([owner] * len(crops))

    def answer(self) -> None:
        """Ask about one batch, the last one maybe not full, and tell the owners."""
        count = min(self.size, len(self.crops))
        answers = self.network(np.stack([self.crops.popleft() for _ in range(count)]))
        for row in answers:
            self.owners.popleft().take(row)


class _Underway:
    """An image between its networks: the answers to its question so far, and its outcome at the end."""

    def __init__(self, result: Result, settings: WorkerSettings, batches: dict[str, Batches]) -> None:
        self.outcome = result if isinstance(result, Outcome) else None
        self._batches, self._answers, self._expected = batches, list[np.ndarray](), 0
        if isinstance(result, Proposals):
            self._asking = labelled_faces(result, settings.detector, settings.crops)
            self._go_on(None)

    def take(self, answer: np.ndarray) -> None:
        """Take the answer to one crop, and ask the next question after the last one."""
        self._answers.append(answer)
        if len(self._answers) == self._expected:
            answers, self._answers = np.stack(self._answers), []
            self._go_on(answers)

    def _go_on(self, answers: np.ndarray | None) -> None:
        try:
            question = next(self._asking) if answers is None else self._asking.send(answers)
        except StopIteration as done:
            self.outcome = done.value
        else:
            self._expected = len(question.crops)
            self._batches[question.network].add(self, question.crops)


def in_batches(
    results: Iterable[Result], settings: WorkerSettings, networks: dict[str, tuple[Network, int]]
) -> Iterator[Outcome]:
    """Verify and label the faces of each result, in the same order.

    Each of ``networks``, by what it does, gets as many crops at a time as stand beside it; fewer only at the end, or
    when batches fill slowly.
    """
    batches = {name: Batches(network, size) for name, (network, size) in networks.items()}
    waiting: deque[_Underway] = deque()
    flushed = time.monotonic()

    def finished(everything: bool) -> Iterator[Outcome]:
        while due := [b for b in batches.values() if len(b.crops) >= (1 if everything else b.size)]:
            due[0].answer()
        while waiting and waiting[0].outcome:
            yield waiting.popleft().outcome  # type: ignore[misc] # it has one

    for result in results:
        waiting.append(_Underway(result, settings, batches))
        late = time.monotonic() - flushed >= FLUSH_SECONDS
        yield from finished(everything=late)
        if late:
            flushed = time.monotonic()
    yield from finished(everything=True)
