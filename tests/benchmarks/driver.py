"""What the process that gives out the work costs per image, by hand from the repository's root.

python tests/benchmarks/driver.py --files 20000 --faces 1

The workers are replaced by ones that answer at once, so that the time is the driver's: the walk, handing out,
gathering, checkpoints, tables. As many workers keep it busy as this cost goes into theirs.
"""

import argparse
import os
import resource
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from figures import add_json_option, write_figures
from PIL import Image

from batch.outcome import Box, Face, ImageFile, Outcome, Quality, Status
from batch.settings import WorkerSettings
from batch.workers.pool import annotate_images
from jobs.annotation import job as annotation
from jobs.annotation import workers
from jobs.annotation.run_report import RunReport


def answer(chunk: list[ImageFile], _settings: WorkerSettings, faces: int) -> list[Outcome]:
    """As many faces as asked for, without a look at the images."""
    found_here = tuple(
        Face(Box(0, 0, 50, 50), 0.9, np.full(7, 1 / 7, np.float32), Quality(0.6, 0.5, 0.25)) for _ in range(faces)
    )
    status = Status.OK if faces else Status.NO_FACE
    return [Outcome(found, status, width=640, height=480, faces=found_here) for found in chunk]


def main() -> None:
    """Make the files, run the job over them, print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--faces", type=int, default=1, help="faces per image")
    add_json_option(parser)
    arguments = parser.parse_args()
    workers.annotate_images = partial(annotate_images, work=partial(answer, faces=arguments.faces))
    with tempfile.TemporaryDirectory() as name:
        root, report = Path(name) / "photos", RunReport()
        root.mkdir()
        Image.new("L", (8, 8)).save(root / "first.png")
        for number in range(arguments.files - 1):
            os.link(root / "first.png", root / f"{number:07d}.png")
        started, spent = time.monotonic(), time.process_time()
        settings = annotation.AnnotationSettings((root,), Path(name) / "out", jobs=2)
        with report, annotation.annotation_job(settings, report) as job:
            job.run()
        seconds, spent = time.monotonic() - started, time.process_time() - spent
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        facts = report.as_json()
    whole, of_cpu = 1000 * seconds / arguments.files, 1000 * spent / arguments.files
    each = f"{whole:.2f} ms, {of_cpu:.2f} ms of CPU time"
    print(f"{arguments.files} images: {each} per image, {memory:.0f} MB")  # noqa: T201
    print(facts["seconds_by_stage"], facts["faces"], "faces")  # noqa: T201
    measured = {"files": arguments.files, "faces": arguments.faces}
    write_figures(arguments.json, [{**measured, "ms": whole, "CPU ms": of_cpu, "MB": memory}])


if __name__ == "__main__":
    main()
