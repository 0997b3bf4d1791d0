"""Long work says every half minute how far it is."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

log = logging.getLogger("annotate.train")

SECONDS = 30.0
"""Between two lines."""

Item = TypeVar("Item")


def counted(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Pass the ``items`` on, ``total`` of them; what takes longer than ``SECONDS`` says how many there were."""
    said = time.monotonic()
    for number, item in enumerate(items, 1):
        yield item
        if number < total and time.monotonic() - said >= SECONDS:
            log.info("%s: %d of %d", what, number, total)
            said = time.monotonic()
