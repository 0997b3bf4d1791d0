"""What an output holds beside what a run wants of it: another identity, roots within each other."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from batch.errors import OutputError
from batch.roots import open_root
from batch.roots.folder import Folder
from batch.roots.places import Places
from batch.tables.schema import faces_schema
from model.bundle import ModelCard
from model.errors import ModelError

_HASH = 12
"""Digits of a hash that a person gets to see."""


def changes(old: dict[str, Any], new: dict[str, Any], of: str = "") -> Iterator[str]:
    """Each part of the identity that differs, such as ``detector name: cascade -> cnn``."""
    for name in dict.fromkeys([*old, *new]):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from changes(before, after, f"{of}{name} ")
        elif before != after:
            yield f"{of}{name.replace('_', ' ')}: {_shown(before)} -> {_shown(after)}"


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    return text[:_HASH] if len(text) == 64 else text


def check_nested(roots: Iterable[Path | str], known: Iterable[str], output: Path) -> None:
    """Raise OutputError for a root within one that the output holds, around it, or the same: faces would count twice.

    One that it holds already may lie within another one, of which it then holds single photographs.
    """
    known = {*known}
    places = Places(map(open_root, known))
    for root in map(open_root, roots):
        if isinstance(root, Folder) and not os.path.exists(root.path):  # noqa: PTH110 - Path raises
            continue  # which is told by itself
        if same := places.same_as(root):
            other, relation, way_out = same[0], f"{root.name} is the same", "name it as before"
        elif (outer := places.around(root)) and root.name not in known:
            other, relation = outer[0], f"{root.name} lies within it"
            part = os.path.relpath(os.path.realpath(root.place), os.path.realpath(other.place))
            way_out = f"annotate {other.name} again, with --include '{part}/*' for that part alone"
        elif inner := places.within(root):
            other, relation = inner[0], f"that lies within {root.name}"
            way_out = f"move its tables away to annotate {root.name} as a whole"
        else:
            continue
        raise OutputError(
            f"{output} already holds images of {other.name}; {relation}, and faces would count twice. Use another "
            f"output (-o), or {way_out}."
        )


def check_labels(card: ModelCard) -> None:
    """Raise ModelError if a label has the name of another column, or cannot be the name of a folder."""
    taken = {*faces_schema(()).names} & {*card.labels}
    if taken:
        raise ModelError(f"{card.path}: {', '.join(sorted(taken))} cannot be a label, as a column has that name.")
    for label in card.labels:
        if "/" in label or "\0" in label or label.startswith("."):
            raise ModelError(f"{card.path}: {label!r} cannot be a label: expected a name without / and leading dots.")


def check_other_roots(roots: Iterable[Path | str], filled: Iterable[str], output: Path, changed: str) -> None:
    """Raise OutputError if tables of another identity hold images of roots that are not named now.

    An output has one identity, and these cannot be annotated anew now. ``changed`` tells which part of it differs. A
    folder that is not there is a RootError first: its name may be misspelt.
    """
    named = [open_root(root) for root in roots]
    for root in named:
        if isinstance(root, Folder):
            root.landmark()
    others = sorted({*filled} - {root.name for root in named})
    if others:
        raise OutputError(
            f"{output} was made with another model or other detector settings ({changed}) and also holds images of "
            f"{', '.join(others)}. Name these roots as well, with --moved OLD=NEW if they lie elsewhere now, or use "
            "another output, or say --prune to drop their rows."
        )
