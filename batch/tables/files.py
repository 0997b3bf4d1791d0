"""Write files so that a reader, or a power cut, never meets half of one."""

import errno
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batch.errors import OutputError

log = logging.getLogger("annotate.files")


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Turn the errors that a full or read-only disk raises into OutputError."""
    try:
        yield
    except OSError as error:
        fix = "Make space; the next run goes on from here." if error.errno == errno.ENOSPC else "Check the folder."
        raise OutputError(f"Cannot write {place}: {error.strerror or error}. {fix}") from error


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """Turn a disk's errors into OutputError; what is missing or damaged is told in other ways."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        fix = "Nothing of it was deleted; the next run goes on from here."
        raise OutputError(f"Cannot read {place}: {error.strerror or error}. {fix}") from error


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file of our own to write to: where somebody has put a link to another file, that one stays as it is."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        yield file


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A temporary file beside ``path`` to write to, which is put in its place once it is whole."""
    unfinished = path.with_name(f".{path.name[-60:]}.unfinished")  # a name may have 255 bytes, four a character
    try:
        with new_file(unfinished) as file:
            yield file
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_durably(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` write a temporary file, flush it to the disk, and put it in the place of ``path``."""
    with writing(path):
        with replacing(path) as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        flush(path.parent)


def write_picture(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let ``write`` write a temporary file and put it in the place of ``path``, in a folder made for it.

    A picture that cannot have this name is left out, with a warning: names in archives are as long as they like.
    """
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as file:
                write(file)
    except OutputError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG):
            raise
        log.warning("no picture, as its name would be too long: %s", path)


def flush(path: Path) -> None:
    """Have the disk hold what was written to a file, or which files a folder has.

    Windows opens no folder and flushes only what is open to be written; it sees to the names of files by itself.
    """
    is_folder = path.is_dir()
    if is_folder and not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
