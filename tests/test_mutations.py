"""Two thousand damaged files in one night."""

import io
import random
import subprocess
import sys
from pathlib import Path

import pandas as pd
from conftest import annotate_command, astronaut, environment
from PIL import Image

MUTANTS = 2000
FORMATS = {
    "jpg": ("JPEG", {}),
    "progressive.jpg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
    "tif": ("TIFF", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", {}),
    "heic": ("HEIF", {}),
    "jp2": ("JPEG2000", {}),
}
GIBIBYTE = 2**20  # in the kibibytes that getrusage gives
MEASURED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Runs a command and prints the peak memory of its largest process; a process counts its parent's as its own until it
has started, so the parent must be small."""


def encoded(name: str, picture: Image.Image) -> bytes:
    kind, options = FORMATS[name]
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    with_exif = {"exif": exif.tobytes()} if kind in ("JPEG", "PNG", "WEBP", "AVIF", "HEIF") else {}
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options, **with_exif)
    return buffer.getvalue()


def mutated(data: bytes, other: bytes, draw: random.Random) -> bytes:
    """Flip bits, cut off, put another format's header on, splice two files, blank or double a piece."""
    body, place = bytearray(data), draw.randrange(len(data))
    match draw.randrange(6):
        case 0:
            for _ in range(draw.randint(1, 40)):
                # headers and tables are where a flipped bit hurts
                at = draw.randrange(min(len(body), draw.choice((64, 1024, len(body)))))
                body[at] ^= 1 << draw.randrange(8)
        case 1:
            del body[place:]
        case 2:
            head = draw.randint(4, 64)
            body[:head] = other[:head]
        case 3:
            body[place:] = other[draw.randrange(len(other)) :]
        case 4:
            length = draw.randint(1, 4096)
            body[place : place + length] = bytes(len(body[place : place + length]))
        case _:
            body[place:place] = body[place : place + draw.randint(1, 4096)]
    return bytes(body)


def test_two_thousand_damaged_files(tmp_path: Path) -> None:
    """Every mutation of good photographs gets its row; no traceback, no hang, no crash of the job, memory bounded."""
    draw, root = random.Random(11), tmp_path / "photos"  # noqa: S311 - a seed, not a secret
    root.mkdir()
    good = {name: encoded(name, astronaut().crop((100, 0, 400, 300)).resize((160, 160))) for name in FORMATS}
    for number in range(MUTANTS):
        name, other = draw.choice(list(FORMATS)), draw.choice(list(FORMATS))
        (root / f"{number:04d}.{name}").write_bytes(mutated(good[name], good[other], draw))
    options = ["-o", tmp_path / "out", "-j", 2, "--image-timeout", 20]
    measured = [sys.executable, "-c", MEASURED, *annotate_command(root, *options)]
    done = subprocess.run(measured, capture_output=True, text=True, timeout=600, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    images = pd.read_parquet(tmp_path / "out" / "images.parquet")
    assert len(images) == MUTANTS
    statuses = images["status"].astype(str).value_counts()
    assert set(statuses.index) <= {"ok", "no_face", "unreadable", "too_large", "crashed"}
    assert statuses["unreadable"] > MUTANTS / 10
    assert statuses[["ok", "no_face"]].sum() > MUTANTS / 10
    assert images.loc[images["status"].isin(["unreadable", "too_large", "crashed"]), "error"].str.len().min() > 5
    assert 0 < int(done.stdout.split()[-1]) < 1.5 * GIBIBYTE
