"""A bucket of an object store, or what lies below a prefix in it, as a root. Imports fsspec where it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any
from zlib import crc32

from batch.errors import OutageError, RootError
from batch.faults import TransientError, http_answer, may_heal
from batch.images.formats import has_image_suffix
from batch.names import from_text, to_text
from batch.outcome import ImageError, ImageFile, Key, Status
from batch.roots.archive import PACKED
from batch.roots.root import ImageSource, InOnePiece, Listed, Listing, Member, Version, check_size, is_hidden
from batch.roots.store_client import SCHEMES, are_its_bytes, ask, store_client
from batch.roots.walk import WalkSettings

_ANSWER, _LISTING = 30.0, 3600.0
"""Seconds that a store has to answer, and to list all there is."""
_SLOWEST = 10_000
"""Bytes a second, below which it is taken for one that does not answer."""

_TIMES, _TAGS = ("LastModified", "mtime", "last_modified"), ("ETag", "etag")
"""What the three call an object's last change, and what changes with its content."""


class Store(InOnePiece):
    """A bucket or a prefix. Who may read it is told to fsspec's file systems by the environment, as to other programs.

    Images are known by their suffix alone: looking into each other object would be a request.
    """

    can_be_empty = False
    is_remote = True

    def __init__(self, name: str) -> None:
        self.name = name
        self._scheme, _, self._location = from_text(name).partition("://")

    @property
    def hint(self) -> str:
        """What a person may look after if images are missing."""
        if self._location.lower().endswith(PACKED):
            return "Archives in stores are not read: download it, or unpack it there."
        return "Are its bucket and prefix right?"

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
        """Raise RootError if the store does not answer any more, or nothing is left below the prefix."""
        with self._asked():
            try:
                self._ask("info", self._location)
            except PermissionError:  # who may list below a prefix only may not ask for the prefix itself
                self._ask("ls", self._location)

    def source(self, path: str, version: Version | None = None) -> ImageSource:
        """The object at a path, as it was listed."""
        return Member(self, path, version)

    def read(self, path: str, version: Version | None = None) -> bytes:
        """The bytes of an object, asked for once; raises FileNotFoundError, PermissionError, ImageError, RootError.

        And TransientError for what may heal.
        """
        try:
            with _translated():
                return self._read(path, version)
        except (FileNotFoundError, PermissionError, ImageError, RootError, TransientError):
            raise
        except Exception as error:  # each store's client has errors of its own
            if may_heal(error):
                raise TransientError(f"the store does not give it: {_reason(error)}") from error
            raise ImageError(Status.UNREADABLE, f"the store does not give it: {_reason(error)}") from error

    def _read(self, path: str, version: Version | None) -> bytes:
        key = f"{self._location}/{from_text(path)}"
        try:
            facts = self._ask("info", key)
        except FileNotFoundError:
            if path != self._own_name:
                raise
            key = self._location  # a root of one photograph
            facts = self._ask("info", key)
        size = facts["size"] or 0
        if version and size != version[0] and not _has_changed_since(version, facts):
            raise TransientError(f"the store tells of {size} bytes that have not changed, and has listed {version[0]}")
        check_size(size)
        seconds = _ANSWER + size / _SLOWEST
        content = bytes(self._ask("cat_file", key, seconds, start=0, end=size)) if size else b""
        if len(content) != size:
            raise TransientError(f"the store gives {len(content)} bytes of {size}")
        if not are_its_bytes(self._files, self._scheme, key, facts, content, _ANSWER):
            raise TransientError("the store gives other bytes than those of the object's checksum")
        return content

    def may_open(self, _path: str) -> bool:
        """Only the store knows."""
        return True

    def landmark(self) -> str:
        """Nothing: all machines that reach the store see the same."""
        return ""

    def sees(self, landmark: str) -> bool:
        """Whether this machine reaches the store; raises RootError, with the reason, if it does not."""
        self.check_still_there()
        return True

    @property
    def _own_name(self) -> str:
        """The path of the image that the root itself is, if it is an object and nothing lies below it."""
        return to_text(self._location.rpartition("/")[2])

    @cached_property
    def _files(self) -> Any:
        """The file system of fsspec's; raises RootError."""
        if self._scheme not in SCHEMES or not self._location:
            known = ", ".join(f"{scheme}://BUCKET/PREFIX" for scheme in SCHEMES)
            raise RootError(f"Cannot read {self.name}. What is read: folders, .zip, .tar and .tar.gz files, {known}.")
        try:
            return store_client(self._scheme)
        except ImportError as error:
            raise RootError(
                f"{self.name} needs the extra [remote]: pip install 'emotion-annotate[remote]'. ({error})"
            ) from error

    def _ask(self, method: str, place: str, seconds: float = _ANSWER, **options: Any) -> Any:
        return ask(self._files, method, place, seconds=seconds, **options)

    @cached_property
    def _listing(self) -> tuple[int, list[ImageFile]]:
        """How many objects there are, and the images among them, sorted by path; raises RootError."""
        with self._asked():
            objects = self._objects()
        below = [(name.removeprefix(f"{self._location}/"), facts) for name, facts in objects if name != self._location]
        if not below and has_image_suffix(self._own_name):
            below = [(self._own_name, facts) for _, facts in objects]
        images = (self._found(path, facts) for path, facts in below if has_image_suffix(path))
        return len(below), sorted(image for image in images if not is_hidden(image.key.path))

    def _objects(self) -> list[tuple[str, dict[str, Any]]]:
        """The objects below the prefix, and the one of that very name."""
        found = self._ask("find", self._location, _LISTING, detail=True)
        if isinstance(found, list):  # adlfs: there is an object of that very name, and it does not look below
            container, _, prefix = self._location.partition("/")
            below = self._ask("find", container, _LISTING, prefix=prefix, detail=True)
            found = {name: facts for name, facts in below.items() if f"{name}/".startswith(f"{self._location}/")}
        return list(found.items())

    def _found(self, path: str, facts: dict[str, Any]) -> ImageFile:
        """An object's size, and the second of its last change with its ETag's checksum in place of nanoseconds."""
        seconds, tag = _last_change(facts)
        return ImageFile(
            Key(self.name, to_text(path)), int(facts["size"] or 0), seconds * 10**9 + crc32(tag.encode()) % 10**9
        )

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn whatever a store's client raises into RootError, and into OutageError what may heal."""
        try:
            with _translated():
                yield
        except RootError:
            raise
        except FileNotFoundError as error:
            raise RootError(f"No such root: {self.name}. {self.hint}") from error
        except PermissionError as error:
            raise RootError(
                f"Not allowed to list {self.name}: {_reason(error)}. {_CREDENTIALS[self._scheme]}"
            ) from error
        except Exception as error:  # each store's client has errors of its own
            if may_heal(error):
                raise OutageError(f"{self.name} does not answer: {_reason(error)}") from error
            raise RootError(f"Cannot list {self.name}: {_reason(error)}. {_CREDENTIALS[self._scheme]}") from error


_CREDENTIALS = {
    "s3": "Are there credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile)?",
    "gs": "Are there credentials (GOOGLE_APPLICATION_CREDENTIALS, or gcloud auth application-default login)?",
    "az": "Are there credentials (AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN)?",
}


@contextmanager
def _translated() -> Iterator[None]:
    """Say in Python's own words that an object is gone or refused, as s3fs does by itself."""
    try:
        yield
    except Exception as error:
        answer = http_answer(error)
        if answer == 404:
            raise FileNotFoundError(_reason(error)) from error
        if answer in (401, 403) or str(error).startswith("Forbidden"):  # gcsfs has no status for that one
            raise PermissionError(_reason(error)) from error
        raise


def _last_change(facts: dict[str, Any]) -> tuple[int, str]:
    """The second of an object's last change and its ETag, as far as they are told."""
    changed = next((facts[name] for name in _TIMES if isinstance(facts.get(name), datetime)), None)
    tag = next((str(facts[name]) for name in _TAGS if facts.get(name)), "")
    return int(changed.timestamp()) if changed else 0, tag


def _has_changed_since(version: Version, facts: dict[str, Any]) -> bool:
    """Whether the facts are whole and later than those listed: another's answer has no ETag, or an old page's time."""
    seconds, tag = _last_change(facts)
    return bool(tag) and seconds > version[1] // 10**9


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")[:200]
