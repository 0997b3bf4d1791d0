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

_SILENT = 15.0
"""Seconds without a heartbeat, which comes every second or two, after which a worker is taken for frozen. Dask itself
waits for minutes, ``distributed.scheduler.worker-ttl``, before it gives its work to others."""


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
        self._heard: dict[str, tuple[float, float]] = {}  # each worker's last heartbeat, and when it was news
        self._frozen = 0
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
            self._well_at = now
            if self._frozen:
                self._say(
                    f"{self._frozen} of the workers of the cluster at {self._address} do not answer; what they have "
                    "been given waits until they do, or until Dask gives it to others"
                )
            elif self._said_at is not None:
                self._said_at = None
                log.warning("the cluster at %s is at work again, with %d workers", self._address, self.workers)
            return
        waited = now - self._well_at
        if lost and waited >= _MOMENT:
            raise self.lost()
        if waited >= self._patience:
            raise ClusterError(
                f"The cluster at {self._address} cannot work: {trouble}, for {waited:.0f} s by now (--cluster-timeout "
                f"{self._patience:g}). What is done is kept, and the next run goes on from there."
            )
        if waited >= _MOMENT:
            self._say(
                f"the cluster at {self._address} cannot work: {trouble}; waiting for up to {self._patience:g} s "
                f"(--cluster-timeout), {waited:.0f} of them over"
            )

    def _say(self, what: str) -> None:
        """Say it, unless something has been said a moment ago."""
        now = time.monotonic()
        if self._said_at is None or now - self._said_at >= _EVERY:
            self._said_at = now
            log.warning("%s", what)

    def _trouble(self) -> str | None:
        """Why nothing can be done; counts the workers, and those that are frozen, on the way."""
        client = self._client
        try:
            workers = client.sync(client.scheduler.identity, callback_timeout=_ANSWER)["workers"]
        except (OSError, AttributeError):  # the client has none while it is closed
            return "its scheduler does not answer"
        now, known = time.monotonic(), self._heard
        beats = {name: worker["last_seen"] for name, worker in workers.items()}  # by the scheduler's clock
        self._heard = {
            name: known[name] if name in known and known[name][0] == beat else (beat, now)
            for name, beat in beats.items()
        }
        self._frozen = sum(now - since > _SILENT for _, since in self._heard.values())
        self.workers = sum(worker["nthreads"] for worker in workers.values())
        if not workers:
            return f"it has no workers. Start some: dask worker {self._address}"
        return "none of its workers answers" if self._frozen == len(workers) else None
