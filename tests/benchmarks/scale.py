"""What a run costs as a library grows: CPU seconds and peak memory of the leading process, per million images.

python tests/benchmarks/scale.py --images 100000 1000000 --json scale.json

The workers answer at once, and the library is told, not laid out on a disk: what is measured is planning, recording,
merging and publishing; listing real folders comes on top (``nothing_new.py``). Each stage is a process of its own. By
hand from the repository's root; CPU seconds, since these depend least on what else the machine does.
"""

import argparse
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from figures import add_json_option, write_figures

from batch import plan
from batch.outcome import Box, Face, ImageFile, Key, Outcome, Quality, Status
from batch.roots.folder import Folder
from batch.roots.root import Listed, Listing
from batch.roots.walk import WalkSettings
from batch.tables import checkpoints
from jobs.annotation import job as annotation
from jobs.annotation import workers
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings

CHECKPOINT = 150
"""Images in each, as five seconds hold them on two cores."""
FACE = Face(Box(0, 0, 50, 50), 0.9, np.full(7, 1 / 7, np.float32), Quality(0.6, 0.5, 0.25))


@dataclass(frozen=True)
class Crowd:
    """A library: how the path of an image is made of its number, and how many faces it has."""

    path: Callable[[int], str] = lambda number: f"{number // 1000:05d}/IMG_{number:08d}.jpg"
    faces: Callable[[int], int] = lambda number: 1 + number % 2


CROWDS = {
    "1.5 faces, a thousand to a folder": Crowd(),
    "3,000 faces to a photograph": Crowd(faces=lambda _: 3000),
    "each image in a folder of its own": Crowd(path=lambda number: f"{number:08d}/IMG.jpg"),
    "all in one folder": Crowd(path=lambda number: f"IMG_{number:08d}.jpg"),
    "paths of 4,000 bytes": Crowd(path=lambda number: f"{'folder/' * 569}IMG_{number:09d}.jpg"),
}


class Library(Folder):
    """A folder that nobody has laid out."""

    crowd, images_in_all = Crowd(), 0

    def __init__(self, root: Path | str) -> None:
        super().__init__(str(root))

    def images(self, settings: WalkSettings) -> Listing:
        """As many images as were asked for, in their order."""
        found = (self.found(number) for number in range(self.images_in_all))
        return Listed(one for one in found if settings.wants(one.key.path))

    def found(self, number: int) -> ImageFile:
        """An image of that number."""
        return ImageFile(Key(self.name, self.crowd.path(number)), number, number)

    def is_empty(self) -> bool:
        """It never is."""
        return False


def answers(images: Iterable[ImageFile], *_: object) -> Iterator[Outcome]:
    """As many faces as each image is to have; its number stands in the place of its size."""
    for found in images:
        faces = (FACE,) * Library.crowd.faces(found.size_bytes)
        yield Outcome(found, Status.OK, width=640, height=480, faces=faces)


def run(output: Path, until: str = "run") -> None:
    """Run the job, or only a part of it."""
    settings = AnnotationSettings((Path("/library"),), output, jobs=0)
    with annotation.annotation_job(settings, RunReport()) as job:
        if until == "recorded":
            job._record()
        elif until == "planned":
            job.preview()
        else:
            job.run()


def cost(work: Callable[[], None]) -> dict[str, Any]:
    """CPU seconds and peak MB of ``work`` in a process of its own, which starts with what this one has imported."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException as error:
            print(repr(error), flush=True)  # noqa: T201
            os._exit(1)
        os._exit(0)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"a stage ended with status {status}")
    return {"seconds": round(usage.ru_utime + usage.ru_stime, 2), "MB": round(usage.ru_maxrss / 1024, 1)}


def measure(images: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each stage of a library of that many images, one behind the other on the same output."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "out"
        Library.images_in_all = images
        yield "record", cost(lambda: run(output, "recorded"))
        yield "plan at a resume", cost(lambda: run(output, "planned"))
        yield "resume and publish", cost(lambda: run(output))
        yield "nothing new", cost(lambda: run(output))
        Library.images_in_all += 10
        yield "ten new", cost(lambda: run(output))
        tables = sum(file.stat().st_size for file in output.glob("*.parquet"))
        yield "tables", {"seconds": 0.0, "MB": round(tables / 2**20, 1)}


def main() -> None:
    """Measure what is asked for; print a table, and write it as JSON beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--crowd", type=int, default=100_000, help="images of each crowd; 0 for none")
    add_json_option(parser)
    arguments = parser.parse_args()
    logging.getLogger("annotate").setLevel(logging.ERROR)
    plan.open_root, workers.annotate_images = Library, answers
    checkpoints.EVERY_IMAGES, checkpoints.EVERY_SECONDS = CHECKPOINT, float("inf")
    usual, *others = CROWDS
    crowds = ((name, max(10, arguments.crowd // (1000 if "3,000" in name else 1))) for name in others)
    asked = chain(((usual, images) for images in arguments.images), crowds if arguments.crowd else ())
    rows = []
    print(f"{'library':34} {'images':>10} {'stage':20} {'seconds':>8} {'per million':>11} {'MB':>6}")  # noqa: T201
    for name, images in asked:
        Library.crowd = CROWDS[name]
        for stage, costs in measure(images):
            each = round(costs["seconds"] / images * 1e6, 1)
            rows.append({"library": name, "images": images, "stage": stage, **costs, "seconds_per_million": each})
            line = f"{name:34} {images:>10,} {stage:20} {costs['seconds']:>8} {each:>11} {costs['MB']:>6}"
            print(line, flush=True)  # noqa: T201
            write_figures(arguments.json, rows)


if __name__ == "__main__":
    main()
