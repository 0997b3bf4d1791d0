"""One run at a time on an output."""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from batch.errors import OutputHeld
from batch.tables.files import new_file, writing
from batch.waiting_for_disks import asking


@contextmanager
def hold(output: Path) -> Iterator[None]:
    """Hold ``output`` (made if missing) for this process. Raises OutputHeld, naming the holder, if another one does.

    The operating system lets go of the lock when its process dies, so a killed run leaves no obstacle.
    """
    with writing(output):
        lock, holder = FileLock(output / ".lock", thread_local=False), output / ".holder.json"
        try:
            with asking(output):
                output.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=0)
        except Timeout:
            raise OutputHeld(f"Another run holds {output}: {_describe(holder)}. Wait for it, or stop it.") from None
    try:
        with writing(output):
            us = {
                "pid": os.getpid(),
                "host": socket.gethostname(),
                "since": datetime.now(UTC).isoformat("T", "seconds"),
            }
            with new_file(holder) as file:
                file.write(json.dumps(us).encode())
        yield
    finally:  # what has ended the run says more than what is wrong here: the process' end lets go as well
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        with suppress(OSError):
            lock.release()


def _describe(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text("utf-8"))
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun or ended"
