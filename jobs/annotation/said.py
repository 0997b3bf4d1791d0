"""What a run says of its plan: what there is to do, what goes, what is kept, and why there is nothing."""

import logging
from dataclasses import replace
from typing import Any

from batch.names import number_of
from batch.plan import Plan
from batch.roots import open_root
from batch.roots.walk import WalkSettings

log = logging.getLogger("annotate.job")


def say_what_goes(plan: Plan) -> None:
    """Say which rows go, and which are kept although their images were not seen."""
    for folder, reason in plan.unlistable.items():
        log.warning("cannot list %s: %s; the rows of its images are kept", folder, reason)
    for folder, count in plan.kept.items():
        log.warning(
            "%s shows none of %s that it held; their rows are kept: is a disk not mounted, a link not "
            "followed? If they are gone for good, --prune removes their rows",
            *(folder, number_of(count, "image")),
        )
    for root, within in plan.unopened.items():
        log.warning(
            "%s holds %s, not opened, the first is %s. Unpack what is wanted, and name the folder; or leave it out "
            "with --exclude",
            *(root, number_of(len(within), "archive"), within[0]),
        )
    if plan.renamed:
        old, new = next(iter(plan.renamed.items()))
        log.info(
            "the rows of %s follow, whose names in a zip are spelled in another way now: in %s %s is %s",
            *(number_of(len(plan.renamed), "image"), *old, new),
        )
    if plan.deleted:
        gone = number_of(len(plan.deleted), "deleted image")
        log.info("the rows of %s go%s", gone, "" if plan.prune else " (--prune is not needed for that)")


def say_what_there_is(plan: Plan) -> None:
    """Say what a run would do, of a plan that has been walked through."""
    say_none_found(plan)
    say_what_goes(plan)
    counts = {"new": plan.new, "changed": plan.changed, "deleted": len(plan.deleted), "left_over": plan.left_over}
    found = number_of(plan.found, "image")
    log.info("dry run: %s found, %d new, %d changed or to do again", found, plan.new, plan.changed)
    last = "dry run: %d deleted, %d left for later by --limit"
    log.info(last, len(plan.deleted), plan.left_over, extra={"fields": {"found": plan.found, **counts, "exit": 0}})


def say_nothing_new(plan: Plan, done: dict[str, Any]) -> None:
    """Say that all images are known, if there are any; ``done`` are the fields that tell what a run did."""
    if plan.found:
        known = "the 1 image is" if plan.found == 1 else f"{plan.found} images are all"
        log.info("nothing new: %s known", known, extra={"fields": done | {"known": plan.found}})


def say_none_found(plan: Plan) -> None:
    """Say which roots have no image; if a run leaves out some, only where none at all is left, and why."""
    walk = plan.walk
    if not plan.empty or (plan.found and not walk.takes_all):
        return
    roots = ", ".join(plan.empty)
    if not (walk.include or walk.exclude):
        log.warning("no image found below %s", roots)
        return
    other = _but_for_case(plan)
    log.warning(
        "no image below %s is let through by --include and --exclude. A pattern matches a whole path below the root, a "
        "name, or a folder; it minds case%s",
        *(roots, f", but for which {other} would be let through" if other else ""),
    )


def _but_for_case(plan: Plan) -> str | None:
    """The first image that the patterns would let through if they did not mind case."""
    walk = plan.walk
    lower = WalkSettings(tuple(map(str.lower, walk.include)), tuple(map(str.lower, walk.exclude)))
    everything = replace(walk, include=(), exclude=())
    for root in map(open_root, plan.roots):
        for found in root.images(everything.of_root(root.name)):
            if lower.wants(found.key.path.lower()):
                return found.key.path
    return None
