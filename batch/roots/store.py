"""A bucket of an object store, or what lies below a prefix in it, as a root. Imports fsspec where it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

from batch.errors import RootError
from batch.faults import TransientError, may_heal
from batch.images.formats import has_image_suffix
from batch.names import from_text, to_text
from batch.outcome import Found, ImageError, Key, Status
from batch.roots.root import ImageSource, InOnePiece, Listed, Listing, Member, check_size, is_hidden
from batch.roots.walk import WalkSettings

SCHEMES = ("s3", "gs", "az")
"""S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage; all go the same way through fsspec."""

_TIMES, _TAGS = ("LastModified", "mtime", "last_modified"), ("ETag", "etag")
"""What the three call an object's last change, and what changes with its content."""


class Store(InOnePiece):
    """A bucket or a prefix. Who may read it is told to fsspec's file systems by the environment, as to other programs.

    Images are known by their suffix alone: looking into each other object would be a request.
    """

    hint = "Are its bucket and prefix right?"
    can_be_empty = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._scheme, _, self._location = from_text(name).partition("://")

    @property
    def place(self) -> Path:
        """The URL as a path."""
        return Path("/", self._scheme, *(part for part in self._location.split("/") if part not in ("", ".", "..")))

    def images(self, settings: WalkSettings) -> Listing:
        """The images of the listing, which is asked for once."""
        return Listed(found for found in self._listing[1] if settings.wants(found.key.path))

    def is_empty(self) -> bool:
        """Whether there is no object; raises RootError if there is no such bucket, or it cannot be listed."""
        return self._listing[0] == 0

    def prepare(self) -> None:
        """There is nothing to prepare."""

    def check_still_there(self) -> None:
        """Raise RootError if the store does not answer any more."""
        with self._asked():
            try:
                self._files.info(self._location)
            except PermissionError:  # who may list below a prefix only may not ask for the prefix itself
                self._files.ls(self._location)

    def source(self, path: str) -> ImageSource:
        """The object at a path."""
        return Member(self, path)

    def read(self, path: str) -> bytes:
        """The bytes of an object; raises FileNotFoundError, PermissionError, ImageError or TransientError."""
        key = f"{self._location}/{from_text(path)}"
        try:
            size = self._files.info(key)["size"] or 0
            check_size(size)
            return bytes(self._files.cat_file(key, start=0, end=size)) if size else b""
        except (FileNotFoundError, PermissionError, ImageError, RootError):
            raise
        except Exception as error:  # each store's client has errors of its own
            if may_heal(error):
                raise TransientError(f"the store does not give it: {_reason(error)}") from error
            raise ImageError(Status.UNREADABLE, f"the store does not give it: {_reason(error)}") from error

    def landmark(self) -> str:
        """Nothing: all machines that reach the store see the same."""
        return ""

    def sees(self, landmark: str) -> bool:
        """Whether this machine reaches the store; raises RootError, with the reason, if it does not."""
        self.check_still_there()
        return True

    @cached_property
    def _files(self) -> Any:
        """The file system of fsspec's; raises RootError."""
        if self._scheme not in SCHEMES or not self._location:
            known = ", ".join(f"{scheme}://BUCKET/PREFIX" for scheme in SCHEMES)
            raise RootError(f"Cannot read {self.name}. What is read: folders, .zip, .tar and .tar.gz files, {known}.")
        try:
            import fsspec

            return fsspec.filesystem(self._scheme, use_listings_cache=False)
        except ImportError as error:
            raise RootError(
                f"{self.name} needs the extra [remote]: pip install 'emotion-annotate[remote]'. ({error})"
            ) from error

    @cached_property
    def _listing(self) -> tuple[int, list[Found]]:
        """How many objects there are, and the images among them, sorted by path; raises RootError."""
        with self._asked():
            found = self._files.find(self._location, detail=True)
        objects = found.items() if isinstance(found, dict) else ()  # adlfs: a list, if an object has that very name
        below = [(name.removeprefix(f"{self._location}/"), facts) for name, facts in objects if name != self._location]
        images = (self._found(path, facts) for path, facts in below if has_image_suffix(path))
        return len(below), sorted(image for image in images if not is_hidden(image.key.path))

    def _found(self, path: str, facts: dict[str, Any]) -> Found:
        """An object's size, and the second of its last change with its ETag's checksum in place of nanoseconds."""
        changed = next((facts[name] for name in _TIMES if isinstance(facts.get(name), datetime)), None)
        tag = next((str(facts[name]) for name in _TAGS if facts.get(name)), "")
        seconds = int(changed.timestamp()) if changed else 0
        return Found(
            Key(self.name, to_text(path)), int(facts["size"] or 0), seconds * 10**9 + crc32(tag.encode()) % 10**9
        )

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn whatever a store's client raises into RootError."""
        try:
            yield
        except RootError:
            raise
        except FileNotFoundError as error:
            raise RootError(f"No such root: {self.name}. {self.hint}") from error
        except PermissionError as error:
            raise RootError(f"Not allowed to list {self.name}: {_reason(error)}. Are there credentials?") from error
        except Exception as error:  # each store's client has errors of its own
            raise RootError(f"Cannot list {self.name}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")[:200]
