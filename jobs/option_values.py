"""Values of options, from whatever a person may have meant by them to what the job takes."""

import itertools
import os
import re
from collections.abc import Iterable
from numbers import Integral, Real
from pathlib import Path

from batch.images.formats import has_image_suffix
from batch.roots import typed_root
from batch.roots.folder import Folder
from batch.roots.places import Places
from batch.roots.root import is_hidden
from batch.roots.walk import WalkSettings, holds_image
from batch.tables.moves import Move, lies_in
from batch.tables.snapshot import IMAGES_FILE

_ASCII = bytes(range(32, 127)) + rb"\u0041\x41+AGE-~{!!~}"
"""Among it what some encodings take for other letters."""

AnyPath = str | os.PathLike[str]


class UsageError(ValueError):
    """An option with a value that makes no sense; ``option`` is its name on the command line."""

    def __init__(self, message: str, option: str | None = None) -> None:
        parameter = option.lstrip("-").replace("-", "_") if option else "roots"
        super().__init__(f"{parameter}: {message}")
        self.message, self.option = message, option


def check_range(option: str, value: float | None, least: float, most: float | None = None, whole: bool = False) -> None:
    """Raise UsageError for what is no number of that range, such as None is none: the default counts."""
    if value is None:
        return
    kind = "a whole number" if whole else "a number"
    wanted = f"{kind} of at least {least:g}" if most is None else f"{kind} from {least:g} to {most:g}"
    numeric = isinstance(value, Integral if whole else Real) and not isinstance(value, bool)
    if not (numeric and value >= least and (most is None or value <= most)):  # NaN is neither
        raise UsageError(f"expected {wanted}, received {value!r}", option)


def check_flag(option: str, value: bool) -> None:
    """Raise UsageError for what is neither True nor False."""
    if not isinstance(value, bool):
        raise UsageError(f"expected True or False, received {value!r}", option)


def listed(option: str, given: str | Iterable[str] | None) -> tuple[str, ...]:
    """The texts of a list; a text alone is a list of one."""
    if given is None:
        return ()
    texts = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    if not all(isinstance(text, str) for text in texts):
        raise UsageError(f"expected a text or a list of texts, received {given!r}", option)
    return texts


def folder_of(option: str, given: AnyPath | None) -> Path | None:
    """The folder that is written to; raises UsageError for a URL."""
    folder = path_of(option, given)
    if folder and folder.parts and folder.parts[0].endswith(":"):  # a Path has lost the second slash
        raise UsageError(f"expected a folder, received the URL {folder}; copy from a folder afterwards.", option)
    return folder


def path_of(option: str, given: AnyPath | None) -> Path | None:
    """The path, if there is one; raises UsageError for what is none."""
    if given is not None and not isinstance(given, (str, os.PathLike)):
        raise UsageError(f"expected a path, received {given!r}", option)
    return None if given is None else Path(given)


def shard_of(text: str | None) -> tuple[int, int]:
    """Which part of how many, from ``3/64``."""
    if text is None:
        return WalkSettings.shard
    part, slash, parts = str(text).partition("/")
    if not (slash and part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise UsageError(f"expected K/N with K from 1 to N, such as 3/64, received {text!r}", "--shard")
    return int(part), int(parts)


def encoding_of(name: str) -> str:
    """The encoding of names in zips; raises UsageError for an unknown one, and for one in which ASCII is no ASCII."""
    try:
        usable = _ASCII.decode(name, "surrogateescape") == _ASCII.decode("ascii")
    except (LookupError, ValueError, TypeError):
        usable = False
    if not usable:
        expected = "the name of an encoding that goes on from ASCII, such as shift_jis, gbk, cp1252 or cp866"
        raise UsageError(f"expected {expected}, received {name!r}", "--zip-encoding")
    return name


def root_names(given: AnyPath | Iterable[AnyPath | Iterable[AnyPath]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the roots, and of photographs that are named as if they were roots, each once.

    A root inside another one, or one by two names, is wrong usage, as its images would come twice.
    """
    named = {root.name: root for root in map(typed_root, _texts(given))}
    if not named:
        raise UsageError("expected at least one folder of photographs")
    photographs = {name for name, root in named.items() if isinstance(root, Folder) and _is_photograph(root.path)}
    roots = sorted(named.keys() - photographs)
    places = Places(named[name] for name in roots)
    for name in roots:
        for other in places.same_as(named[name]):
            raise UsageError(f"{name} and {other.name} are the same; name one of them.")
        for outer in places.around(named[name]):
            raise UsageError(f"{name} lies within {outer.name}; name the outer one alone.")
    return tuple(roots), tuple(sorted(photographs))


def moves_of(given: str | Iterable[str] | None, roots: tuple[str, ...]) -> tuple[Move, ...]:
    """Where roots of before are now, from ``OLD=NEW``; raises UsageError unless the roots of this run go with it."""
    moves = tuple(dict.fromkeys(_move(text, roots) for text in listed("--moved", given)))
    for move in moves:
        still = [root for root in roots if lies_in(root, move.old) and not lies_in(root, move.new)]
        if still:
            raise UsageError(f"{move.old} has not moved if {still[0]} is a root of this run", "--moved")
    for one, other in itertools.permutations(moves, 2):
        if lies_in(one.old, other.new):
            raise UsageError(f"{other.old} takes the place of {one.old}; move one in a run of its own", "--moved")
    return moves


def _move(text: str, roots: tuple[str, ...]) -> Move:
    """The move that ``OLD=NEW`` means, whose names may have equals signs in them."""
    for place in (place for place, letter in enumerate(text) if letter == "=" and 0 < place < len(text) - 1):
        move = Move(*(typed_root(part).name for part in (text[:place], text[place + 1 :])))
        if move.old != move.new and any(lies_in(root, move.new) for root in roots):
            return move
    expected = "OLD=NEW, OLD as the output knows the root, NEW a root of this run or a folder above it"
    raise UsageError(f"expected {expected}, received {text!r}", "--moved")


def _is_photograph(place: Path) -> bool:
    """Whether it is a file that is an image, by its name or by its first bytes; raises UsageError for a hidden one."""
    is_one = os.path.isfile(place) and (has_image_suffix(place.name) or holds_image(place))  # noqa: PTH113 - Path raises
    if is_one and is_hidden(place.name):
        raise UsageError(f"{place} is hidden, and hidden files are left out. Give it a name without the leading dot.")
    return is_one


def _texts(given: AnyPath | Iterable[AnyPath | Iterable[AnyPath]]) -> list[str]:
    """The roots as a person has typed them, from one, a list, or lists in a list."""
    if isinstance(given, (str, os.PathLike)):
        if not os.fspath(given):
            raise UsageError("expected a folder of photographs, received an empty name")
        return [os.fspath(given)]
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise UsageError(f"expected paths, received {given!r}")
    return [text for one in given for text in _texts(one)]


def output_of(given: AnyPath | None, roots: tuple[str, ...]) -> Path | None:
    """The folder of the tables; raises UsageError for a root, or a folder in it: nothing is written among photographs.

    Below a root it may be one that is new or empty, or that has tables.
    """
    folder = folder_of("--output", given)
    if folder is None:
        return None
    place, within = Path(os.path.realpath(folder)), _folders(roots)
    names = {file.name for file in folder.iterdir()} if os.access(folder, os.R_OK) and folder.is_dir() else set()
    filled = names and ".lock" not in names and IMAGES_FILE not in names
    if place in within or (filled and any(place.is_relative_to(root) for root in within)):
        raise UsageError(f"{folder} is a folder of photographs. Name another folder.", "--output")
    return folder


def cluster_of(address: str | None) -> str | None:
    """The address of a scheduler; raises UsageError for what cannot be one."""
    if address is None:
        return None
    known = re.fullmatch(r"((tcp|tls|ucx|wss?)://)?[^\s/]+:(?P<port>\d{1,5})/?", str(address))
    if not known or not 0 < int(known["port"]) < 2**16:
        raise UsageError(f"expected an address such as tcp://host:8786, received {address!r}", "--cluster")
    return address


def apart(folder: Path | None, roots: tuple[str, ...], option: str) -> Path | None:
    """The folder, made absolute, unless it and a root lie within each other: no photograph is ever written over."""
    if folder is None:
        return None
    place = Path(os.path.realpath(folder))
    for root in _folders(roots):
        if place.is_relative_to(root) or root.is_relative_to(place):
            raise UsageError(f"{folder} and {root} lie within each other. Name another folder.", option)
    return folder.absolute()


def _folders(roots: tuple[str, ...]) -> list[Path]:
    return [Path(os.path.realpath(root.path)) for root in map(typed_root, roots) if isinstance(root, Folder)]
