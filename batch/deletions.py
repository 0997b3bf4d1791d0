"""Which images that are not seen any more were deleted, and which probably lie on a disk that is not mounted."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from batch.roots.root import Root
from batch.tables.snapshot import KnownImage


@dataclass
class Deletions:
    """What of the known images that were not seen is gone, and of how many below which folders the rows are kept."""

    gone: list[KnownImage] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)


@dataclass
class Sight:
    """What a listing of a root showed of what is known of it; folders end in ``/``, the root is the empty path."""

    devices: Mapping[str, int]
    """The device that each folder listed lies on."""
    seen: int = 0
    """How many known images were."""
    unseen: list[KnownImage] = field(default_factory=list)
    """Those that were not, sorted."""
    alive: set[str] = field(default_factory=set)
    """The folders below which something known is seen."""
    new: Counter[str] = field(default_factory=Counter)
    """How many images that were not known each folder has."""

    def see(self, path: str) -> None:
        """Note that a known image is there."""
        self.seen += 1
        if folder_of(path) not in self.alive:
            self.alive.update(_folders(path))

    def pass_over(self, unlistable: tuple[str, ...]) -> None:
        """Take what lies below folders that could not be listed for seen."""
        passed, self.unseen = self.unseen, []
        for image in passed:
            if image.path.startswith(unlistable):
                self.see(image.path)
            else:
                self.unseen.append(image)


def find_deletions(root: Root, sight: Sight) -> Deletions:
    """Tell deleted images from those of a disk that is not mounted, or of a link that is dead or not followed.

    - An image goes whose folder still shows some of what was known in it.
    - A folder that is still there but shows nothing of it keeps its rows: so does an empty mount point look. Only if at
      least half as many new images have come in their place, and it is no mount point, they were renamed.
    - A folder that is gone itself takes its rows along if, apart from these deletions, at least half of what was known
      below the root is still seen, and no other disk is mounted beside where it was.
    - In any case an image stays that is found when looked for by its name.
    """
    deletions = Deletions()
    if not root.holds_disks:
        deletions.gone += sight.unseen
        return deletions
    for there, folders in _by_presence(root, _by_folder(sight)):
        missing = len(sight.unseen) - len(deletions.gone)
        for folder, images in folders.items():
            if there:
                deleted = folder in sight.alive or _was_renamed(root, folder, len(images), sight)
            else:
                deleted = 2 * missing <= sight.seen + len(sight.unseen) and not _disks_beside(folder, sight)
            gone = [image for image in images if deleted and root.is_gone(image.path)]
            deletions.gone += gone
            deletions.kept[folder] += len(images) - len(gone)
    deletions.gone.sort()
    deletions.kept = +deletions.kept
    return deletions


def _by_folder(sight: Sight) -> dict[str, list[KnownImage]]:
    """The unseen images by the outermost folder that shows nothing known any more, or else by their own."""
    by_folder: dict[str, list[KnownImage]] = defaultdict(list)
    for image in sight.unseen:
        folders = list(_folders(image.path))
        by_folder[next((folder for folder in folders if folder not in sight.alive), folders[-1])].append(image)
    return by_folder


def _by_presence(
    root: Root, by_folder: dict[str, list[KnownImage]]
) -> Iterator[tuple[bool, dict[str, list[KnownImage]]]]:
    """The folders that are still there, and then those that are gone."""
    there = {folder for folder in by_folder if root.has_folder(folder)}
    yield True, {folder: images for folder, images in by_folder.items() if folder in there}
    yield False, {folder: images for folder, images in by_folder.items() if folder not in there}


def _was_renamed(root: Root, folder: str, unseen: int, sight: Sight) -> bool:
    """Whether enough new images have come in the place of the known ones, and not by mounting another disk."""
    new = sum(count for place, count in sight.new.items() if place.startswith(folder))
    return 2 * new >= unseen and not root.is_mount_point(folder)


def _disks_beside(folder: str, sight: Sight) -> bool:
    parent = _parent(folder)
    here = sight.devices.get(parent)
    return any(device != here for place, device in sight.devices.items() if place and _parent(place) == parent)


def folder_of(path: str) -> str:
    """The folder that an image lies in; the root is the empty path."""
    return path[: path.rfind("/") + 1]


def _folders(path: str) -> Iterator[str]:
    """The folders that an image lies in, the root first."""
    yield ""
    for place, letter in enumerate(path):
        if letter == "/":
            yield path[: place + 1]


def _parent(folder: str) -> str:
    return folder[: folder[:-1].rfind("/") + 1]
