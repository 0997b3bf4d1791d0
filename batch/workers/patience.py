"""Images that cannot be read for now: left until the others are done, and tried again with back-off."""

import logging
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import chain

from batch.names import number_of
from batch.outcome import ImageFile, Key, Result, Setback
from batch.roots import open_root

log = logging.getLogger("annotate.patience")

PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further try."""

MANY = 20
"""Images in a row that cannot be read for now: whatever lies behind that, the rest had better wait."""


class Patience:
    """What became of images, in their order but for those that were tried again.

    After the iteration ``unread`` holds what could not be read with all the pauses. If that was so many in a row that
    the run had better stop, ``stopped`` says so, and images behind them were not tried at all; nor are those of roots
    that were given up. Where a store is asked, which answers and yet gives nothing, ``remote`` seconds are waited.
    """

    def __init__(
        self,
        work: Callable[[Iterable[ImageFile]], Generator[Result, None, None]],
        pauses: tuple[float, ...] = PAUSES,
        many: int = MANY,
        remote: float = 0.0,
    ) -> None:
        self._work, self._pauses, self._many, self._remote = work, pauses, many, remote
        self._under_way: dict[Key, ImageFile] = {}
        self._given_up: dict[str, Setback] = {}
        self._done_at = time.monotonic()
        self.unread: list[Setback] = []
        self.stopped = False

    def results(self, images: Iterable[ImageFile]) -> Iterator[Result]:
        """Do the images, those that cannot be read for now once more behind the others."""
        stream, tries = iter(images), 0
        self._done_at = time.monotonic()
        again: Iterator[ImageFile] = iter(())
        while True:
            self.unread, self._under_way, self.stopped = [], {}, False
            some_done = yield from self._round(chain(again, stream))
            tries = 1 if some_done else tries + 1
            if not self.unread or (tries > len(self._pauses) and not self._store_may_heal()):
                self.unread += self._given_up.values()
                return
            pause = self._pauses[min(tries, len(self._pauses)) - 1]
            first = self.unread[0]
            log.warning(
                "%s cannot be read for now (%s/%s: %s); trying again in %g s",
                *(number_of(len(self.unread), "image"), *first.found.key, first.reason, pause),
            )
            time.sleep(pause)
            again = chain([setback.found for setback in self.unread], [*self._under_way.values()], again)

    def _store_may_heal(self) -> bool:
        """Whether many images of a store were refused, and not for long enough: that is hardly for ever."""
        remote = any(open_root(setback.found.key.root).is_remote for setback in self.unread)
        return remote and self.stopped and time.monotonic() - self._done_at < self._remote

    def _round(self, images: Iterable[ImageFile]) -> Generator[Result, None, bool]:
        """Do images until all are done or many in a row could not be read; gives whether any could."""
        in_a_row, some_done = 0, False
        with closing(self._work(self._handed_out(images))) as results:
            for result in results:
                self._under_way.pop(result.found.key, None)
                if not isinstance(result, Setback):
                    in_a_row, some_done, self._done_at = 0, True, time.monotonic()
                    yield result
                    continue
                if result.given_up:
                    self._given_up.setdefault(result.found.key.root, result)
                    continue
                self.unread.append(result)
                in_a_row += 1
                if in_a_row >= self._many:
                    self.stopped = True
                    break
        return some_done

    def _handed_out(self, images: Iterable[ImageFile]) -> Iterator[ImageFile]:
        for found in images:
            if found.key.root not in self._given_up:
                self._under_way[found.key] = found
                yield found
