"""Time and memory of a run over many known files: none is new, and then ten; by hand from the repository's root.

python tests/benchmarks/nothing_new.py --files 100000
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import Process
from pathlib import Path

from figures import add_json_option, write_figures
from PIL import Image
from speed import ANNOTATE

from batch.outcome import ImageFile, Key, Outcome, Status
from batch.tables.publish import publish
from batch.tables.rows import Rows
from batch.tables.schema import faces_schema, image_rows
from jobs.annotation.job import AnnotationJob
from jobs.annotation.run_report import RunReport
from jobs.annotation.settings import AnnotationSettings


def make_files(root: Path, count: int) -> Iterator[Outcome]:
    """Empty files, a thousand to a folder, with what a run that found nothing in them would have recorded."""
    for number in range(count):
        file = root / f"{number // 1000:05d}" / f"{number:08d}.jpg"
        if number % 1000 == 0:
            file.parent.mkdir(parents=True)
        file.touch()
        status = file.stat()
        key = Key(str(root), str(file.relative_to(root)))
        yield Outcome(ImageFile(key, status.st_size, status.st_mtime_ns), Status.NO_FACE, width=1, height=1)


def lay_out(root: Path, output: Path, count: int) -> None:
    """The files, and the tables that hold them."""
    output.mkdir()
    job = AnnotationJob(AnnotationSettings((root,), output), RunReport())
    images = image_rows(make_files(root, count))
    publish(output, [Rows(images, faces_schema(job.labels).empty_table())], job.labels, job.identity, 1, False)


def main() -> None:
    """Lay out the library, in a process of its own as memory is inherited, and run three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root, output = Path(name) / "photos", Path(name) / "out"
        laying = Process(target=lay_out, args=(root, output, arguments.files))
        laying.start()
        laying.join()
        measured = []
        for run in ("nothing new", "nothing new again", "ten new"):
            if run == "ten new":
                for number in range(10):
                    Image.new("RGB", (64, 64)).save(root / "00000" / f"new {number}.png")
            started = time.monotonic()
            process = subprocess.Popen([sys.executable, "-c", ANNOTATE, str(root), "-o", str(output)])
            _, status, usage = os.wait4(process.pid, 0)
            seconds, memory = time.monotonic() - started, usage.ru_maxrss / 1024
            print(f"{run}: {seconds:.2f} s, {memory:.0f} MB, status {status}")  # noqa: T201
            spent = usage.ru_utime + usage.ru_stime
            measured.append(
                {"files": arguments.files, "run": run, "seconds": seconds, "CPU seconds": spent, "MB": memory}
            )
        write_figures(arguments.json, measured)


if __name__ == "__main__":
    main()
