"""Rows of roots that lie in another place now, such as a disk's that is mounted elsewhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.tables.merge import Source
from batch.tables.rows import Rows


class Move(NamedTuple):
    """A root, or a folder that roots lie in, and where it is now; both as the output writes roots."""

    old: str
    new: str

    def __call__(self, root: str) -> str:
        """Where a root is now that was there."""
        return (self.new.rstrip("/") + root[len(self.old.rstrip("/")) :]) or "/"


def lies_in(root: str, folder: str) -> bool:
    """Whether a root is that one, or below that folder, by its name."""
    return f"{root}/".startswith(f"{folder.rstrip('/')}/")


def move_of(root: str, moves: Iterable[Move]) -> Move | None:
    """By which of the moves a root comes elsewhere: that of the innermost folder.

    One that is there already stays there, so that the same moves may be named again.
    """
    moves = [*moves]
    if any(lies_in(root, move.new) and not lies_in(move.old, move.new) for move in moves):
        return None
    return max((move for move in moves if lies_in(root, move.old)), key=lambda move: len(move.old), default=None)


def where_now(root: str, moves: Iterable[Move]) -> str:
    """What a root is called now."""
    move = move_of(root, moves)
    return move(root) if move else root


def as_moved(sources: Sequence[Source], moves: Sequence[Move]) -> list[Source]:
    """The same, their rows being those of where the roots are now; they yield to rows that are from there.

    Each is read several times, once for the roots that stay and once for each move: of these alone the rows are still
    sorted, and so are those of the others.
    """
    if not moves:
        return [*sources]
    views = [_View((*moves,), move) for move in (*moves, None)]
    return [source._replace(view=view) for view in views for source in sources]


@dataclass(frozen=True)
class _View:
    """Of some rows those of the roots that one of the moves, or none, has taken elsewhere, as they are called there."""

    moves: tuple[Move, ...]
    move: Move | None

    def __call__(self, rows: Rows) -> Rows:
        """See these rows so."""
        roots = rows.images["root"].unique().to_pylist()
        names = {root: self.move(root) if self.move else root for root in roots if self._takes(root)}
        if len(names) < len(roots):
            chosen = pc.is_in(rows.images["root"], pa.array([*names], pa.string()))
            rows = rows.take(np.flatnonzero(chosen.to_numpy(zero_copy_only=False)))
        return rows.with_column("root", lambda table: _named(table["root"], names)) if self.move else rows

    def _takes(self, root: str) -> bool:
        return move_of(root, self.moves) == self.move


def _named(roots: pa.ChunkedArray, names: Mapping[str, str]) -> pa.Array:
    known = roots.combine_chunks().dictionary_encode()
    return pa.array([names[root] for root in known.dictionary.to_pylist()], pa.string()).take(known.indices)
