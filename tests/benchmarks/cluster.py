"""What share of a Dask cluster's CPU time the leading process takes, by hand from the repository's root.

python tests/benchmarks/cluster.py PHOTOS --workers 1 2 4

PHOTOS are real photographs; copies of 12 megapixels are made of them, each under several names. The cluster is on this
machine, with workers of one thread; its scheduler counts as a leading process, too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from speed import ANNOTATE, linked, make_photographs

from batch.images.formats import has_image_suffix


def seconds_of(process: int) -> float:
    """CPU seconds of a process and of all below it."""
    every = psutil.Process(process)
    return sum(sum(one.cpu_times()[:2]) for one in (every, *every.children(recursive=True)))


@contextmanager
def cluster(workers: int, folder: Path) -> Iterator[tuple[str, int, list[int]]]:
    """The address of a scheduler, its process, and those of its workers."""
    dask, address_file = [sys.executable, "-m", "dask"], folder / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    common = ["--scheduler-file", str(address_file), "--no-dashboard"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", "0", *common]
    worker = [*dask, "worker", "--nworkers", "1", "--nthreads", "1", *common]
    processes = [subprocess.Popen(scheduler, **quiet)]
    try:
        while not address_file.exists():
            time.sleep(0.1)
        processes += [subprocess.Popen(worker, cwd=folder, **quiet) for _ in range(workers)]
        yield json.loads(address_file.read_text())["address"], processes[0].pid, [one.pid for one in processes[1:]]
    finally:
        for process in processes:
            process.terminate()
            process.wait()


def main() -> None:
    """Annotate the same photographs on clusters of several sizes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--megapixels", type=float, default=12)
    parser.add_argument("--count", type=int, default=24, help="photographs, all of them different")
    parser.add_argument("--detector", default="cnn")
    arguments = parser.parse_args()
    originals = sorted(file for file in arguments.photographs.rglob("*") if has_image_suffix(file.name))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = make_photographs(originals, folder / "photos", arguments.megapixels, arguments.count)
        images = len(linked(files, folder / "linked"))
        for workers in arguments.workers:
            with cluster(workers, folder) as (address, scheduler, working):
                before = seconds_of(scheduler), sum(map(seconds_of, working))
                options = ["--cluster", address, "--detector", arguments.detector, "-o", folder / f"out{workers}", "-q"]
                started = time.monotonic()
                process = subprocess.Popen([sys.executable, "-c", ANNOTATE, folder / "linked", *map(str, options)])
                _, status, usage = os.wait4(process.pid, 0)
                if status:
                    raise SystemExit(f"annotate ended with status {status}")
                took = time.monotonic() - started
                leading = usage.ru_utime + usage.ru_stime
                scheduling, work = seconds_of(scheduler) - before[0], sum(map(seconds_of, working)) - before[1]
            share = 100 * (leading + scheduling) / work
            print(  # noqa: T201
                f"{workers} workers, {images} images in {took:.0f} s; CPU seconds: leading process {leading:.1f}, "
                f"scheduler {scheduling:.1f}, workers {work:.1f}: a share of {share:.1f} %",
                flush=True,
            )


if __name__ == "__main__":
    main()
