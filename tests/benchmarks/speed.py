"""Seconds per photograph beside what people use today, in one run, by hand from the repository's root.

python tests/benchmarks/speed.py PHOTOS --fer ENVIRONMENT/bin/python

PHOTOS are real photographs; copies of 1, 4 and 12 megapixels are made of them, each file another one, and linked under
other names, so that a run is long beside its start. The comparisons:
``fer`` (an interpreter that has it) looped over the same files with its cascade; the script that people write; and the
floor, which is decoding, detecting, verifying and labelling in one loop, shared out perfectly.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
from figures import add_json_option, write_figures
from joblib import Parallel, delayed
from PIL import Image, ImageOps

from batch.images.formats import has_image_suffix
from batch.settings import DetectorSettings, NetworkFiles, WorkerSettings
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, FACE_MODEL, GLANCE_MODEL

ANNOTATE = "from jobs.annotate import app; app(prog_name='annotate')"
NETWORKS = NetworkFiles(EMOTION_MODEL.with_suffix(".onnx"), FACE_MODEL.with_suffix(".onnx"))

LINKS = 12
"""Names of each photograph."""

ROUNDS = 3
"""How often ``annotate`` and the floor take turns; their medians count, as a start or a neighbour may take seconds."""

FER = """
import sys, time, cv2
from fer.fer import FER
detector = FER()
photographs = sys.argv[1:]
detector.detect_emotions(cv2.imread(photographs[0]))
started = time.monotonic()
for photograph in photographs:
    detector.detect_emotions(cv2.imread(photograph))
print((time.monotonic() - started) / len(photographs))
"""

SCRIPT = f"""
import sys, time, cv2, keras, numpy as np
cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
model = keras.models.load_model({str(EMOTION_MODEL)!r})
photographs = sys.argv[1:]
model.predict(np.zeros((1, 48, 48, 1)), verbose=0)
started = time.monotonic()
for photograph in photographs:
    gray = cv2.cvtColor(cv2.imread(photograph), cv2.COLOR_BGR2GRAY)
    for x, y, w, h in cascade.detectMultiScale(gray, 1.1, 5):
        model.predict(cv2.resize(gray[y : y + h, x : x + w], (48, 48))[None, ..., None], verbose=0)
print((time.monotonic() - started) / len(photographs))
"""


def make_photographs(originals: list[Path], folder: Path, megapixels: float, count: int) -> list[Path]:
    """Copies of real photographs with that many pixels, no two alike, a hundred to a folder."""
    made = []
    for number in range(count):
        file = folder / f"{number // 100:03d}" / f"{number:05d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        image = ImageOps.exif_transpose(Image.open(originals[number % len(originals)])).convert("RGB")
        scale = np.sqrt(megapixels * 1e6 / (image.width * image.height))
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
        image.rotate(number // len(originals) / 2).save(file, quality=90)
        made.append(file)
    return made


def linked(files: list[Path], folder: Path) -> list[Path]:
    """Give each photograph ``LINKS`` names, each in another folder."""
    names = [folder / str(number) / file.name for number in range(LINKS) for file in files]
    for name, file in zip(names, files * LINKS, strict=True):
        name.parent.mkdir(parents=True, exist_ok=True)
        name.hardlink_to(file)
    return names


def annotated(folder: Path, output: Path, *options: object) -> tuple[float, float, dict[str, float]]:
    """Seconds and peak MB of one run of ``annotate``, and its seconds by stage."""
    command = [sys.executable, "-c", ANNOTATE, folder, "-o", output, "-q", *options]
    started = time.monotonic()
    process = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status:
        raise SystemExit(f"annotate ended with status {status}")
    stages = json.loads((output / "run.json").read_text())["seconds_by_stage"]
    return seconds, usage.ru_maxrss / 1024, stages


def in_a_loop(files: list[Path], settings: WorkerSettings) -> None:
    """What the floor does with some files."""
    from batch.outcome import ImageFile, Key
    from batch.workers.worker import annotate_image

    for file in files:
        annotate_image(ImageFile(Key(str(file.parent), file.name), 0, 0), settings)


def floor(files: list[Path], settings: WorkerSettings, jobs: int) -> float:
    """Seconds per photograph of the images' work alone: no walk, no queue, no tables."""
    chunks = list(batched(files, 4))
    with Parallel(jobs) as parallel:
        parallel(delayed(in_a_loop)(files[:4], settings) for _ in range(jobs))
        started = time.monotonic()
        parallel(delayed(in_a_loop)(chunk, settings) for chunk in chunks)
        return (time.monotonic() - started) / len(files)


def batched(items: list[Path], size: int) -> Iterator[list[Path]]:
    """Lists of ``size`` items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def told(interpreter: str, script: str, files: list[Path]) -> float:
    """Seconds per photograph, as another program prints them."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [interpreter, "-c", script, *map(str, files)], env=environment, check=True, capture_output=True, text=True
    )
    return float(done.stdout.split()[-1])


def steady(photographs: Path, output: Path, count: int, *options: object) -> tuple[float, str]:
    """Seconds per photograph without the start-up, which a run over half of them has too; memory and stages."""
    part = count // 2
    few, _, _ = annotated(photographs, output / "few", "--limit", part, *options)
    seconds, memory, stages = annotated(photographs, output / "all", *options)
    told_stages = ", ".join(f"{stage} {of_stage:.1f}" for stage, of_stage in stages.items())
    return (seconds - few) / (count - part), f"{memory:.0f} MB, seconds by stage {told_stages}"


def compare(folder: Path, files: list[Path], fer: str | None, compared: int, cores: int) -> dict[str, float]:
    """Print a table for photographs of one size, and give seconds per photograph of each way."""
    rows = {"the script that people write": told(sys.executable, SCRIPT, files[:compared])}
    if fer:
        rows["fer"] = told(fer, FER, files[:compared])
    notes = []
    names = linked(files, folder / "linked")
    for detector in ("cascade", "cnn"):
        found_by = DetectorSettings(detector, model=DETECTOR_MODEL, glance=GLANCE_MODEL)
        settings = WorkerSettings(found_by, networks=NETWORKS)
        bare, taken = [], {jobs: [] for jobs in (1, cores)}
        for turn in range(ROUNDS):
            bare.append(floor(names, settings, cores))
            for jobs, rounds in taken.items():
                options = ("--detector", detector, "-j", jobs)
                rounds.append(steady(folder / "linked", folder / f"{detector}{jobs}.{turn}", len(names), *options))
        rows[f"{detector}: floor, {cores} jobs"] = median(bare)
        for jobs, rounds in taken.items():
            name = f"{detector}: annotate, {jobs} jobs"
            rows[name] = median(seconds for seconds, _ in rounds)
            of_floor = ", ".join(f"{seconds / least:.2f}" for (seconds, _), least in zip(rounds, bare, strict=True))
            notes.append(f"{name}: {rows[name] / median(bare):.2f} times the floor ({of_floor}), {rounds[-1][1]}")
    base = rows.get("fer", rows["the script that people write"])
    print("| | s per photograph | times as fast |\n|---|---|---|")  # noqa: T201
    for name, seconds in rows.items():
        print(f"| {name} | {seconds:.4f} | {base / seconds:.1f} |")  # noqa: T201
    print(*notes, sep="\n", flush=True)  # noqa: T201
    return rows


def main() -> None:
    """Make the photographs, run everything on them, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--fer", help="a Python interpreter that can import fer 25.10.3")
    parser.add_argument("--megapixels", type=float, nargs="+", default=[1, 4, 12])
    parser.add_argument("--count", type=int, default=200, help="photographs of each size, all of them different")
    parser.add_argument("--compared", type=int, default=24, help="of these, photographs for fer and the script")
    add_json_option(parser)
    arguments = parser.parse_args()
    originals = sorted(file for file in arguments.photographs.rglob("*") if has_image_suffix(file.name))
    cores, measured = len(os.sched_getaffinity(0)), []
    for megapixels in arguments.megapixels:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            files = make_photographs(originals, folder / "photos", megapixels, arguments.count)
            print(f"\n{megapixels:g} megapixels, {len(files)} photographs, {cores} cores", flush=True)  # noqa: T201
            rows = compare(folder, files, arguments.fer, arguments.compared, cores)
        of_these = {"megapixels": f"{megapixels:g}", "photographs": len(files)}
        measured += [{**of_these, "way": way, "seconds": seconds} for way, seconds in rows.items()]
        write_figures(arguments.json, measured)


if __name__ == "__main__":
    main()
