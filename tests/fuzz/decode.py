"""Fuzz the reading of headers, EXIF and pixels, guided by coverage; by hand from the repository's root.

pip install atheris
python tests/fuzz/decode.py CORPUS -max_total_time=1500 -timeout=10 -rss_limit_mb=2000 -max_len=8192

CORPUS is a folder, filled with small images of all formats if it is empty. The options are libFuzzer's. What breaks
the promise is written to ``crash-*``, ``timeout-*`` or ``oom-*``.
"""

import io
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["batch.images.decode", "batch.images.exif", "PIL"]):
    from PIL import Image

    from batch.images.decode import ImageError, Photograph, read_photograph

    Image.preinit()
    Image.init()

from batch.outcome import ImageFile, Key, Outcome, Status
from batch.tables.schema import image_rows

MAX_PIXELS, ENOUGH = 4_000_000, 64
PNG = b"\x89PNG\r\n\x1a\n"
SEEDS = {
    "jpg": [{}, {"progressive": True}],
    "png": [{}, {"bits": 2}],
    "webp": [{}, {"lossless": True}],
    "tif": [{"compression": name} for name in (None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits")],
    "avif": [{}],
    "heif": [{}],
    **{name: [{}] for name in ("gif", "bmp", "ico", "ppm", "jp2", "tga", "pcx", "sgi", "dds", "im", "xbm", "mpo")},
}
MODES = ("RGB", "L", "P", "1", "RGBA", "CMYK", "I;16")


def fill(corpus: Path) -> None:
    """Write a small image of each format, mode and variant, with EXIF where it is known."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    for suffix, variants in SEEDS.items():
        with_exif = {} if suffix == "tif" else {"exif": exif.tobytes()}  # libtiff does not write EXIF's own folder
        for number, options in enumerate(variants):
            for mode in MODES:
                image = Image.linear_gradient("L").resize((9, 6)).convert(mode)
                try:
                    image.save(corpus / f"{mode}-{number}.{suffix}", **options, **with_exif)
                except (OSError, ValueError, KeyError, RuntimeError):  # a mode that the format does not know
                    (corpus / f"{mode}-{number}.{suffix}").unlink(missing_ok=True)


def with_valid_sums(data: bytes) -> bytes:
    """A PNG with the sums of its chunks put right, which random changes would never pass."""
    if not data.startswith(PNG):
        return data
    stream, body = io.BytesIO(data[len(PNG) :]), bytearray(PNG)
    while len(head := stream.read(8)) == 8:
        content = stream.read(struct.unpack(">I", head[:4])[0])
        body += head + content + struct.pack(">I", zlib.crc32(head[4:] + content))
        stream.read(4)
    return bytes(body)


def mutate(data: bytes, most: int, _seed: int) -> bytes:
    """What libFuzzer makes of ``data``."""
    return with_valid_sums(atheris.Mutate(data, most))[:most]


def check(photograph: Photograph) -> None:
    """What is read is a gray image no larger than its header says, and a row that the table takes."""
    gray, width, height = photograph.gray, photograph.width, photograph.height
    assert gray.ndim == 2 and gray.dtype == "uint8"
    assert 0 < gray.shape[0] <= height and 0 < gray.shape[1] <= width, (gray.shape, width, height)
    assert width * height <= MAX_PIXELS
    outcome = Outcome(ImageFile(Key("/r", "p"), 1, 1), Status.NO_FACE, None, width, height, photograph.taken_at)
    image_rows([outcome]).column("taken_at").cast("timestamp[ms]")


def check_reason(error: ImageError) -> None:
    """What is refused has a reason, and none that our own code has raised: an image is at fault in its decoder."""
    assert error.reason and error.status
    trace = error.__cause__.__traceback__ if error.__cause__ else None
    while trace and trace.tb_next:
        trace = trace.tb_next
    assert not trace or "/batch/" not in trace.tb_frame.f_code.co_filename, error.reason


def main() -> None:
    """Fuzz until libFuzzer is told to stop or finds something."""
    corpus = Path(sys.argv[1])
    corpus.mkdir(exist_ok=True)
    if not any(corpus.iterdir()):
        fill(corpus)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        file = Path(folder, "photograph")

        def read(data: bytes) -> None:
            file.write_bytes(data)
            try:
                check(read_photograph(file, MAX_PIXELS, ENOUGH))
            except ImageError as error:
                check_reason(error)

        atheris.Setup(sys.argv, read, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
