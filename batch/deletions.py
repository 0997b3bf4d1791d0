"""Which images that are not seen any more were deleted, and which probably lie on a disk that is not mounted."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from batch.outcome import Key
from batch.roots.root import Root


@dataclass
class Deletions:
    """What of the known images that were not seen is gone, and of how many below which folders the rows are kept."""

    gone: list[Key] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Sight:
    """What a listing of a root showed of what is known of it; folders end in ``/``, the root is the empty path."""

    known: Collection[Key]
    unseen: Collection[Key]
    new: Mapping[str, int]
    """How many images that were not known each folder has."""
    devices: Mapping[str, int]
    """The device that each folder listed lies on."""


def find_deletions(root: Root, sight: Sight) -> Deletions:
    """Tell deleted images from those of a disk that is not mounted, or of a link that is dead or not followed.

    - An image goes whose folder still shows some of what was known in it.
    - A folder that is still there but shows nothing of it keeps its rows: so does an empty mount point look. Only if at
      least half as many new images have come in their place, and it is no mount point, they were renamed.
    - A folder that is gone itself takes its rows along if at least half of what was known below the root is still
      seen, and no other disk is mounted beside where it was.
    - In any case an image stays that is found when looked for by its name.
    """
    deletions = Deletions()
    if not root.holds_disks:
        deletions.gone += sorted(sight.unseen)
        return deletions
    alive = {folder for key in set(sight.known).difference(sight.unseen) for folder in _folders(key.path)}
    by_folder: dict[str, list[Key]] = defaultdict(list)
    deleted: dict[str, bool] = {}
    for key in sorted(sight.unseen):
        folders = list(_folders(key.path))
        emptied = next((folder for folder in folders if folder not in alive), None)
        folder = folders[-1] if emptied is None else emptied
        by_folder[folder].append(key)
        deleted.setdefault(folder, emptied is None)
    for folder, keys in by_folder.items():
        if deleted[folder] or _is_deleted(root, folder, len(keys), sight):
            gone = [key for key in keys if root.is_gone(key.path)]
            deletions.gone += gone
            deletions.kept[folder] += len(keys) - len(gone)
        else:
            deletions.kept[folder] += len(keys)
    deletions.gone.sort()
    deletions.kept = +deletions.kept
    return deletions


def _is_deleted(root: Root, folder: str, unseen: int, sight: Sight) -> bool:
    """Whether a person has emptied or removed a folder below which nothing is seen of the images known there."""
    if root.has_folder(folder):
        new = sum(count for place, count in sight.new.items() if place.startswith(folder))
        return 2 * new >= unseen and not root.is_mount_point(folder)
    parent = _parent(folder)
    disks_beside = any(
        device != sight.devices.get(parent or "") for place, device in sight.devices.items() if _parent(place) == parent
    )
    return 2 * (len(sight.known) - len(sight.unseen)) >= len(sight.known) and not disks_beside


def _folders(path: str) -> Iterator[str]:
    """The folders that an image lies in, the root first."""
    yield ""
    for place, letter in enumerate(path):
        if letter == "/":
            yield path[: place + 1]


def _parent(folder: str) -> str | None:
    return folder[: folder[:-1].rfind("/") + 1] if folder else None
