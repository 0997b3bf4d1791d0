"""Write files so that a reader, or a power cut, never meets half of one."""

import errno
import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batch.errors import OutputError
from batch.images.formats import has_image_suffix
from batch.waiting_for_disks import asking

_SPACE = "Make space; the next run goes on from here."
_OTHER_KIND = "Something of another kind lies there: move it away."
_FIXES = {
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), _SPACE),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP), _OTHER_KIND),
    errno.EROFS: "Mount the disk so that it can be written; if it became so by itself, check it.",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), or write to a file system that holds larger ones.",
    errno.EIO: "Check the disk; what is done is kept, and the next run goes on from here.",
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "Raise the limit on open files (ulimit -n)."),
}


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the errors that a full or read-only disk raises into OutputError."""
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "Check the folder.")
        raise OutputError(f"Cannot write {_told(error, place)} {fix}") from error


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn a disk's errors into OutputError; what is missing or damaged is told in other ways."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "Nothing of it was deleted; the next run goes on from here.")
        raise OutputError(f"Cannot read {_told(error, place)} {fix}") from error


def _told(error: OSError, place: Path) -> str:
    """Where it happened, the file below ``place`` if that is known, and what."""
    where = error.filename2 or error.filename
    return f"{where if isinstance(where, (str, Path)) else place}: {error.strerror or error}."


def regular_file(path: Path) -> BinaryIO:
    """A file to read. Raises OSError, also for a pipe, which would be waited for for ever, and for a device."""
    with asking(path):
        file = io.FileIO(path, opener=_at_once)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "a pipe or a device, and no file", str(path))
    return io.BufferedReader(file)


def _at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def file_to_write(path: Path, begins: str) -> Path:
    """The file that a person has named to be written, or what a link of that name leads to.

    Raises OutputError for what would be lost: whatever is named like a photograph, or is there and does not begin with
    one of the characters that all files of this kind begin with.
    """
    file = path.resolve()
    if has_image_suffix(file.name):
        raise OutputError(f"{path} is named like a photograph. Name another file.")
    if file.exists():
        with reading(file):
            ours = file.is_file() and file.name != "run.json" and _first(file) in begins
        if not ours:
            raise OutputError(f"{path} is there, and this command has not written it. Name another, or delete it.")
    return file


def _first(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(1).decode("latin-1")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of our own to write to: where somebody has put a link to another file, that one stays as it is."""
    with asking(path):
        path.unlink(missing_ok=True)
        file = path.open("xb")
    with file:
        yield file


@contextmanager
def replacing(path: Path, mark: str = "") -> Iterator[BinaryIO]:
    """A temporary file beside ``path`` to write to, which is put in its place once it is whole.

    ``mark`` tells it from that of somebody else who writes this file now.
    """
    unfinished = path.with_name(f".{path.name[-50:]}{mark}.unfinished")  # a name may have 255 bytes, four a character
    try:
        with new_file(unfinished) as file:
            yield file
        with asking(path):
            unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` write a temporary file, flush it to the disk, and put it in the place of ``path``."""
    with writing(path):
        with replacing(path) as file:
            with asking(path):
                write(file)
            to_disk(file)
        flush(path.parent)


_NO_SUCH_NAME = (errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY)


class NoPicture(Exception):
    """A picture cannot have the name that it would have."""


def write_picture(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` write a temporary file and put it in the place of ``path``, in a folder made for it.

    Raises NoPicture where it cannot have this name, as names in archives are as long as they like, and one may be that
    of a folder of others; OutputError for what else goes wrong.
    """
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path, f".{os.getpid()}") as file:  # runs with outputs of their own may share a folder
                write(file)
    except OutputError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno in _NO_SUCH_NAME):
            raise
        raise NoPicture(error.__cause__.strerror) from error
    except RecursionError as error:  # of mkdir, which is meant for fewer folders within each other
        raise NoPicture("It lies in too many folders") from error


def to_disk(file: BinaryIO) -> None:
    """Have the disk hold what was written to an open file."""
    file.flush()
    with asking(file.name):
        os.fsync(file.fileno())


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or which files a folder has.

    Windows opens no folder and flushes only what is open to be written; it sees to the names of files by itself.
    """
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return
    with asking(path):
        descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
