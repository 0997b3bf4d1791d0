"""Very many small photographs through the whole job: is it flat? By hand from the repository's root.

python tests/benchmarks/soak.py PHOTOS --images 50000

PHOTOS are real photographs; small copies of them are linked under as many names. At each line of the job's log: how
many images since the last one, and memory and open files of the process that leads.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from speed import ANNOTATE

from batch.images.formats import has_image_suffix


def make_photographs(originals: list[Path], root: Path, count: int) -> None:
    """Copies of at most 160 pixels, under ``count`` names, a thousand to a folder."""
    small = []
    for number, original in enumerate(originals):
        file = root.parent / f"{number}.jpg"
        image = Image.open(original).convert("RGB")
        image.thumbnail((160, 160))
        image.save(file)
        small.append(file)
    for number in range(count):
        file = root / f"{number // 1000:04d}" / f"{number:07d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        os.link(small[number % len(small)], file)


def main() -> None:
    """Make the photographs, run the job, watch it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--images", type=int, default=50_000)
    arguments = parser.parse_args()
    originals = sorted(file for file in arguments.photographs.rglob("*") if has_image_suffix(file.name))
    with tempfile.TemporaryDirectory() as name:
        root, output = Path(name) / "photos", Path(name) / "out"
        make_photographs(originals, root, arguments.images)
        command = [sys.executable, "-c", ANNOTATE, str(root), "-o", str(output)]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        before, done, place = time.monotonic(), 0, Path("/proc") / str(process.pid)
        assert process.stderr is not None
        for line in process.stderr:
            progress = re.search(r"(\d+) images done", line)
            if not progress:
                print(line, end="")  # noqa: T201
                continue
            memory = re.search(r"VmRSS:\s+(\d+)", (place / "status").read_text())
            files, now, images = len(list((place / "fd").iterdir())), time.monotonic(), int(progress.group(1))
            rate = (images - done) / (now - before)
            megabytes = int(memory.group(1)) // 1024 if memory else 0
            print(f"{images:>7} images, {rate:6.1f} images/s, {megabytes} MB, {files} open files", flush=True)  # noqa: T201
            before, done = now, images
        print("exit code", process.wait())  # noqa: T201


if __name__ == "__main__":
    main()
