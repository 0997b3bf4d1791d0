"""One run at a time on an output."""

import errno
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from batch.errors import OutputHeld
from batch.tables.files import new_file, writing
from batch.waiting_for_disks import asking

_KNOWS_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
"""What a disk says that locks no files: a share whose server lacks that service, some file systems of programs."""

_IN_PLACE = ".lock.held"


@contextmanager
def hold(output: Path) -> Iterator[None]:
    """Hold ``output`` (made if missing) for this process. Raises OutputHeld, naming the holder, if another one does.

    The operating system lets go of the lock when its process dies, so a killed run leaves no obstacle. Where the disk
    knows no locks a file takes its place, and counts for nothing once the process that it names is dead: on the same
    machine, as nobody can tell of another one.
    """
    holder = output / ".holder.json"
    with writing(output):
        try:
            with asking(output):
                output.mkdir(parents=True, exist_ok=True)
                lock = _acquired(output)
        except Timeout:
            way_out = "Wait for it, or stop it."
            if (in_place := output / _IN_PLACE).exists():
                way_out += f" This disk knows no locks: if that run died on another machine, delete {in_place}."
            raise OutputHeld(f"Another run holds {output}: {_describe(holder)}. {way_out}") from None
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


def _acquired(output: Path) -> BaseFileLock:
    lock: BaseFileLock = FileLock(output / ".lock", thread_local=False, fallback_to_soft=False)
    try:
        lock.acquire(timeout=0)
    except OSError as error:
        if error.errno not in _KNOWS_NO_LOCKS:
            raise
        lock = SoftFileLock(output / _IN_PLACE, thread_local=False)
        lock.acquire(timeout=0)
    return lock


def _describe(holder: Path) -> str:
    try:
        who = json.loads(holder.read_text("utf-8"))
        return f"process {who['pid']} on {who['host']}, since {who['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that has only just begun or ended"
