"""Watch over a Dask cluster while a run waits for it: what is wrong is said, and after a while ends the waiting."""

import logging
import threading
import time
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from distributed import Client

from batch.errors import ClusterError

log = logging.getLogger("annotate.cluster")

_PAUSE, _ANSWER = 1.0, 10.0
"""Seconds between two looks, and that a scheduler has to answer."""

_MOMENT, _EVERY = 3.0, 25.0
"""Seconds after which trouble is told, as nannies start killed workers again, and between two lines of it."""


class Watch:
    """Looks at the scheduler every second; ``workers`` is how many images its workers take at a time."""

    def __init__(self, client: Client, address: str, patience: float) -> None:
        self._client, self._address, self._patience = client, address, patience
        self._pending: set[Future[Any]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._well_at = time.monotonic()
        self._said_at: float | None = None
        self._error: ClusterError | None = None
        self.workers = 0

    def __enter__(self) -> "Watch":
        """Wait for the first worker; raises ClusterError if none comes."""
        while not self.workers:
            self._look()
            if not self.workers:
                time.sleep(_PAUSE)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def waits_for(self, future: "Future[Any]") -> None:
        """Fail the future with ClusterError should the cluster not come back."""
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)

    def lost(self) -> ClusterError:
        """What to say once the scheduler is gone."""
        return ClusterError(
            f"The connection to the scheduler at {self._address} is lost; probably it has ended. What is done is kept. "
            "Start the scheduler and its workers again, and then this command: it goes on from there."
        )

    def _look_on(self) -> None:
        while not self._over.wait(_PAUSE):
            try:
                if self._error is None:
                    self._look()
            except ClusterError as error:
                self._error = error
            if self._error:
                for future in self._pending.copy():
                    with suppress(InvalidStateError):  # it was done just now
                        future.set_exception(self._error)

    def _look(self) -> None:
        """Say what is wrong, if something has been for a moment; raises ClusterError if it has been for too long."""
        lost = self._client.status != "running" or self._client.scheduler_comm.closed()
        trouble = "its scheduler is gone" if lost else self._trouble()
        now = time.monotonic()
        if trouble is None:
            if self._said_at is not None:
                log.warning("the cluster at %s is at work again, with %d workers", self._address, self.workers)
            self._well_at, self._said_at = now, None
            return
        waited = now - self._well_at
        if lost and waited >= _MOMENT:
            raise self.lost()
        if waited >= self._patience:
            raise ClusterError(
                f"The cluster at {self._address} cannot work: {trouble}, for {waited:.0f} s by now (--cluster-timeout "
                f"{self._patience:g}). What is done is kept, and the next run goes on from there."
            )
        if waited >= _MOMENT and (self._said_at is None or now - self._said_at >= _EVERY):
            self._said_at = now
            log.warning(
                "the cluster at %s cannot work: %s; waiting for up to %g s (--cluster-timeout), %.0f of them over",
                *(self._address, trouble, self._patience, waited),
            )

    def _trouble(self) -> str | None:
        client = self._client
        try:
            self.workers = sum(client.sync(client.scheduler.ncores, callback_timeout=_ANSWER).values())
        except (OSError, AttributeError):  # the client has none while it is closed
            return "its scheduler does not answer"
        return None if self.workers else f"it has no workers. Start some: dask worker {self._address}"
