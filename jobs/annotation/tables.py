"""What the tables of an output hold already, and how they become new ones."""

import logging
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from batch.names import number_of
from batch.plan import Plan
from batch.tables.checkpoints import Checkpoints
from batch.tables.merge import Source, distinct, merge, renamed
from batch.tables.moves import Move, as_moved, move_of, where_now
from batch.tables.publish import publish
from batch.tables.rows import Columns
from batch.tables.schema import IMAGES, faces_schema
from batch.tables.snapshot import KnownImage, known_images, published_roots, read_snapshot, with_stale_images

log = logging.getLogger("annotate.job")


class OutputTables:
    """The published pair, and the checkpoints beside it, as the model and detector of ``identity`` see them."""

    def __init__(
        self, output: Path, identity: dict[str, Any], labels: tuple[str, ...], moves: tuple[Move, ...] = ()
    ) -> None:
        """Look at the output, its roots being where ``moves`` have taken them; raises OutputError."""
        self.output, self._identity, self._labels, self._moves = output, identity, labels, moves
        self.snapshot = read_snapshot(output)
        self.checkpoints = Checkpoints(output, identity, labels)

    @property
    def is_of_another(self) -> bool:
        """Whether another model or detector has made the published pair."""
        return self.snapshot.identity not in (None, self._identity)

    def known(self) -> Iterator[KnownImage]:
        """The images that have rows, also such that another model or detector has made; looks once it is asked."""
        published = [self.snapshot.images] if self.snapshot.identity else []
        recorded = self.checkpoints.images()
        if self.is_of_another:
            ours = known_images(recorded, moves=self._moves)
            yield from with_stale_images(ours, known_images(published, True, self._moves))
        else:
            yield from known_images([*published, *recorded], moves=self._moves)

    def published_roots(self) -> frozenset[str]:
        """The roots whose images stand in the published pair; raises OutputError."""
        return frozenset(where_now(root, self._moves) for root in self._published_before)

    def roots(self) -> frozenset[str]:
        """Those, and the roots whose images stand in checkpoints."""
        return frozenset(where_now(root, self._moves) for root in self.roots_before)

    def moved_roots(self) -> dict[str, str]:
        """The roots that have moved, and where they are now; raises OutputError."""
        known = self.roots_before if self._moves else ()
        return {root: move(root) for root in known if (move := move_of(root, self._moves))}

    @cached_property
    def roots_before(self) -> frozenset[str]:
        """The roots by the names that they have in the tables, from before any move; raises OutputError."""
        column = IMAGES.field("root")
        recorded = (distinct(images, column) for images in self.checkpoints.images())
        return self._published_before.union(*recorded)

    @cached_property
    def _published_before(self) -> frozenset[str]:
        return published_roots(self.snapshot)

    def have_news(self, plan: Plan) -> bool:
        """Whether new tables would have other rows than those that are published, if any are."""
        of_another = self.snapshot.identity != self._identity
        return bool(of_another or self.checkpoints.images() or plan.deleted or plan.renamed or self.moved_roots())

    def must_stay(self, plan: Plan, dropped: frozenset[str]) -> bool:
        """Whether images of tables that another model or detector has made are still to be annotated; if so, say it.

        Rows of the roots in ``dropped`` are not waited for.
        """
        if not self.is_of_another:
            return False
        gone: set[tuple[str, ...]] = set(plan.deleted)
        missing = sum(1 for one in self.known() if one.stale and one.root not in dropped and one[:2] not in gone)
        if not missing and not plan.left_over:
            return False
        say = log.info if plan.left_over >= missing else log.warning
        say(
            "the old tables stay, as another model or other detector settings made them and %s of theirs must "
            "still be annotated anew; what is done is kept. Those that --include, --exclude, --shard and --limit "
            "leave out, or that could not be seen, come with a run that sees them",
            number_of(max(missing, plan.left_over), "image"),
        )
        return True

    def publish(self, plan: Plan, csv: bool, check: Callable[[int], None]) -> dict[str, int]:
        """Put new tables in the place of the old ones, if ``check`` lets their number of images pass; their rows."""
        self.checkpoints.compact()
        new, snapshot = self.checkpoints.images(), self.snapshot
        old = [Source(snapshot.images, snapshot.faces)] if snapshot.identity == self._identity else []
        columns = Columns(IMAGES, faces_schema(self._labels))
        sources = as_moved([*old, *self.checkpoints.sources()], self._moves)
        rows = merge([*renamed(sources, columns, plan.renamed), *sources], columns, [*plan.deleted, *plan.renamed])
        count = publish(self.output, rows, self._labels, self._identity, snapshot.generation + 1, csv, check)
        self.checkpoints.clear(new)
        return count._asdict()


def has_csv(output: Path) -> bool:
    """Whether the tables lie there as CSV, too."""
    return (output / "faces.csv").exists()
