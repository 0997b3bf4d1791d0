"""Reading and decoding real photographs in all formats."""

import csv
import io
import struct
import subprocess
import sys
import zlib
from datetime import datetime
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from conftest import astronaut
from PIL import ExifTags, Image

from batch.images.decode import ImageError, read_photograph, read_picture
from batch.outcome import Status

MANY = 200_000_000


def gray_levels(file: Path, enough: int = 4096) -> np.ndarray:
    return read_photograph(file, MANY, enough).gray.astype(float)


def blocks(levels: np.ndarray) -> np.ndarray:
    """Means of 8x8 blocks, in which dithering averages out."""
    return levels.reshape(64, 8, 64, 8).mean(axis=(1, 3)).ravel()


@pytest.fixture(scope="module")
def reference() -> np.ndarray:
    return np.asarray(astronaut().convert("L"), float)


SAVED = {
    "jpg": {"quality": 95},
    "progressive.jpg": {"quality": 95, "progressive": True},
    "png": {},
    "webp": {"quality": 95},
    "bmp": {},
    "tif": {},
    "gif": {},
    "avif": {"quality": 95},
    "jp2": {},
    "ppm": {},
}


@pytest.mark.parametrize("name", SAVED)
def test_every_format_gives_the_same_photograph(name: str, tmp_path: Path, reference: np.ndarray) -> None:
    """Each format decodes to the photograph's gray levels, within its own losses."""
    astronaut().save(tmp_path / f"a.{name}", **SAVED[name])
    assert np.abs(gray_levels(tmp_path / f"a.{name}") - reference).mean() < 4


def test_content_decides_over_the_suffix(tmp_path: Path, reference: np.ndarray) -> None:
    """A PNG that is called .jpg is read as the PNG that it is."""
    astronaut().save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(gray_levels(tmp_path / "a.jpg"), reference)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA", "LA", "1", "I;16", "F", "YCbCr", "LAB"])
def test_every_mode_is_read(mode: str, tmp_path: Path, reference: np.ndarray) -> None:
    """CMYK, palette, alpha, bilevel, 16-bit and floating point images keep the photograph's light and dark."""
    if mode in ("I;16", "F"):
        image = Image.fromarray(
            (reference * (257 if mode == "I;16" else 0.01)).astype("u2" if mode == "I;16" else "f4")
        )
    elif mode == "LAB":
        image = Image.merge("LAB", (astronaut().convert("L"), *(Image.new("L", (512, 512), 128),) * 2))
    else:
        image = astronaut().convert("L").convert("LA") if mode == "LA" else astronaut().convert(mode)
    suffix = "png" if mode in ("P", "RGBA", "LA", "1", "L", "I;16") else "tif"
    image.save(tmp_path / f"a.{suffix}")
    assert np.corrcoef(blocks(gray_levels(tmp_path / f"a.{suffix}")), blocks(reference))[0, 1] > 0.95


def test_cmyk_jpeg_is_not_inverted(tmp_path: Path, reference: np.ndarray) -> None:
    """A CMYK JPEG, as print shops send them, comes out positive."""
    astronaut().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert np.abs(gray_levels(tmp_path / "a.jpg") - reference).mean() < 10


def test_transparent_becomes_white(tmp_path: Path) -> None:
    """What is transparent is white, whatever colour hides below."""
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(tmp_path / "a.png")
    assert (gray_levels(tmp_path / "a.png") == 255).all()


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    """An animated GIF counts as its first frame."""
    frames = [Image.new("L", (16, 16), level) for level in (200, 10)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.abs(gray_levels(tmp_path / "a.gif") - 200).max() < 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_out_upright(
    orientation: int, suffix: str, tmp_path: Path, reference: np.ndarray
) -> None:
    """A photograph stored in any of EXIF's eight orientations is read upright, with upright width and height."""
    stored = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    upright = astronaut().crop((0, 0, 512, 400))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    (upright.transpose(stored) if stored is not None else upright).save(tmp_path / f"a.{suffix}", exif=exif)
    photograph = read_photograph(tmp_path / f"a.{suffix}", MANY, 4096)
    assert (photograph.width, photograph.height, photograph.gray.shape) == (512, 400, (400, 512))
    assert np.abs(photograph.gray - reference[:400]).mean() < 5


def test_large_jpegs_are_decoded_no_larger_than_enough(tmp_path: Path) -> None:
    """A large JPEG is decoded at a smaller DCT scale, and its true size is kept."""
    astronaut().resize((4000, 3000)).save(tmp_path / "a.jpg")
    photograph = read_photograph(tmp_path / "a.jpg", MANY, 1280)
    assert (photograph.width, photograph.height) == (4000, 3000)
    assert 1280 <= max(photograph.gray.shape) < 2560
    astronaut().resize((4000, 1000)).save(tmp_path / "wide.jpg")
    assert read_photograph(tmp_path / "wide.jpg", MANY, 1280).gray.shape == (500, 2000), "the long side counts"


@pytest.mark.parametrize(("least", "scale"), [(0.25, 0.25), (0.2504, 0.5), (0.5004, 1), (0.1, 0.125)])
def test_a_picture_is_no_smaller_than_asked_for(least: float, scale: float, tmp_path: Path) -> None:
    """Where a quarter is a little too small, a half is decoded."""
    astronaut().resize((1000, 1000)).save(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg", least)[1] == scale


def test_moment_of_the_photograph(tmp_path: Path) -> None:
    """taken_at is EXIF's original moment; nonsense is nothing, not a guess."""
    for text, expected in [("2021:07:09 18:30:05", datetime(2021, 7, 9, 18, 30, 5)), ("0000:00:00 00:00:00", None)]:
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = text
        exif[ExifTags.Base.DateTime] = "2022:01:01 00:00:00"
        astronaut().save(tmp_path / "a.jpg", exif=exif)
        assert read_photograph(tmp_path / "a.jpg", MANY, 640).taken_at == expected


def test_too_many_pixels_are_refused_from_the_header(tmp_path: Path) -> None:
    """An image over --max-pixels is refused without being decoded, with its size."""
    buffer = io.BytesIO()
    Image.new("L", (10, 10)).save(buffer, "PNG")
    bomb = bytearray(buffer.getvalue())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    bomb[29:33] = struct.pack(">I", zlib.crc32(bytes(bomb[12:29])))
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(ImageError) as refused:
        read_photograph(tmp_path / "bomb.png", MANY, 640)
    assert (refused.value.status, refused.value.width) == (Status.TOO_LARGE, 60_000)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "avif"])
@pytest.mark.parametrize(("orientation", "size"), [(4, (40, 30)), (5, (30, 40)), (6, (30, 40)), (8, (30, 40))])
def test_the_size_of_what_is_too_large_is_that_of_the_upright_image(
    orientation: int, size: tuple[int, int], suffix: str, tmp_path: Path
) -> None:
    """As in the rows of all other images."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("L", (40, 30)).convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif)
    photograph = read_photograph(tmp_path / f"a.{suffix}", MANY, 640)
    assert (photograph.width, photograph.height) == size
    with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} pixels are more") as refused:
        read_photograph(tmp_path / f"a.{suffix}", 1000, 640)
    assert (refused.value.width, refused.value.height) == size


def png(width: int, height: int) -> bytes:
    """An image of one bit per pixel, all black."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes((width // 8 + 2) * height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


LARGER_INSIDE = {
    "frame.gif": b"GIF89a\n\0\n\0\xf0\0\0" + bytes(6) + b"!\xf9\x04+d\0\0\0,\0\0\0\0\xf6\xff\xff\xff\0\x02\x02D\x01\0;",
    "icon.ico": struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, 10**6, 22) + png(8000, 8000),
}
"""What fuzzing found: small images by their headers, for which Pillow makes gigabytes of room when it opens them."""


@pytest.mark.parametrize("name", LARGER_INSIDE)
def test_an_image_larger_than_its_header_says_is_refused(name: str, tmp_path: Path) -> None:
    """What is within counts for --max-pixels, too."""
    (tmp_path / name).write_bytes(LARGER_INSIDE[name])
    with pytest.raises(ImageError, match="within it") as refused:
        read_photograph(tmp_path / name, 63_000_000, 640)  # the icon has 64 million
    assert (refused.value.status, refused.value.width) == (Status.TOO_LARGE, None)


def test_a_heic_counts_as_it_is_decoded(tmp_path: Path) -> None:
    """A HEIC that turns out larger than its header says, found by fuzzing, has the size that it turns out to have."""
    stream = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(stream, "HEIF")
    encoded = bytearray(stream.getvalue())
    across = encoded.index(b"clap") + 4 + 16
    encoded[across : across + 4] = struct.pack(">i", -1000)  # the part to be shown lies beside the image
    (tmp_path / "a.heic").write_bytes(encoded)
    photograph = read_photograph(tmp_path / "a.heic", 10_000, 4096)
    assert (photograph.height, photograph.width) == photograph.gray.shape == (30, 64)
    assert read_picture(tmp_path / "a.heic", 0.5)[1] == 1
    with pytest.raises(ImageError, match="64 x 30 pixels are more"):
        read_photograph(tmp_path / "a.heic", 1500, 4096)


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "jp2", "bmp", "ppm", "avif", "heic"])
def test_exactly_as_many_pixels_as_allowed(suffix: str, tmp_path: Path) -> None:
    """--max-pixels itself is not too many, and one more is, with the size of the image."""
    Image.new("L", (31, 21)).save(tmp_path / f"a.{suffix}")
    assert read_photograph(tmp_path / f"a.{suffix}", 651, 640).gray.shape == (21, 31)
    with pytest.raises(ImageError, match="31 x 21 pixels are more") as refused:
        read_photograph(tmp_path / f"a.{suffix}", 650, 640)
    assert (refused.value.status, refused.value.width, refused.value.height) == (Status.TOO_LARGE, 31, 21)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"hello world, no image here", "not an image"), (None, "truncated")],
)
def test_what_is_wrong_is_said(content: bytes | None, reason: str, tmp_path: Path) -> None:
    """An empty, a foreign and a truncated file are unreadable, each with its reason."""
    file = tmp_path / "a.jpg"
    astronaut().save(file)
    file.write_bytes(file.read_bytes()[:20_000] if content is None else content)
    with pytest.raises(ImageError, match=reason) as refused:
        read_photograph(file, MANY, 640)
    assert refused.value.status is Status.UNREADABLE


def test_vanished_file_says_so(tmp_path: Path) -> None:
    """A file that is gone between walk and read is unreadable, and says why."""
    with pytest.raises(ImageError, match="vanished"):
        read_photograph(tmp_path / "gone.jpg", MANY, 640)


class Vanishing(type(Path())):
    """A file that can be opened, and is gone when it is looked at again."""

    def stat(self, **_: object) -> NoReturn:
        """Raise what a file that is gone does."""
        raise FileNotFoundError(str(self))


def test_file_that_vanishes_while_it_is_read(tmp_path: Path) -> None:
    """A file that is no image, and goes before that can be explained, is unreadable."""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(ImageError, match="not an image"):
        read_photograph(Vanishing(tmp_path / "a.jpg"), MANY, 640)


def test_files_that_break_readers(shared_data: Path) -> None:
    """Each of the files that break readers is read, or refused with a reason, as Pillow's own verdict says."""
    folder = shared_data / "nasty"
    with (folder / "index.csv").open(newline="") as index:
        verdicts = {row["path"]: row["result"] == "ok" or row["path"].endswith("heic") for row in csv.DictReader(index)}
    readable = {}
    for path in verdicts:
        try:
            readable[path] = read_photograph(folder / path, MANY, 1280).gray.dtype == np.uint8
        except ImageError as error:
            readable[path] = not error.reason
    assert readable == verdicts


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photographs_of_phones(orientation: int, tmp_path: Path) -> None:
    """A HEIC photograph comes upright and with its moment, in gray and in colour."""
    stored = astronaut().crop((0, 0, 480, 320)).rotate({1: 0, 3: 180, 6: 90, 8: 270}[orientation], expand=True)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    stored.save(tmp_path / "IMG_1.HEIC", "HEIF", quality=90, exif=exif.tobytes())
    photograph = read_photograph(tmp_path / "IMG_1.HEIC", MANY, 1280)
    assert (photograph.width, photograph.height, str(photograph.taken_at)) == (480, 320, "2024-05-06 07:08:09")
    upright = np.asarray(astronaut().crop((0, 0, 480, 320)).convert("L"), float)
    assert np.abs(photograph.gray.astype(float) - upright).mean() < 4
    picture, scale = read_picture(tmp_path / "IMG_1.HEIC", 0.1)
    assert (picture.mode, picture.size, scale) == ("RGB", (480, 320), 1)


def test_a_damaged_heic_is_a_reason(tmp_path: Path) -> None:
    """Half a HEIC photograph is unreadable, and says so."""
    whole = io.BytesIO()
    astronaut().save(whole, "HEIF")
    (tmp_path / "a.heic").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    with pytest.raises(ImageError) as raised:
        read_photograph(tmp_path / "a.heic", MANY, 1280)
    assert raised.value.status is Status.UNREADABLE


def test_without_the_extra_heic_says_which_one_reads_it(tmp_path: Path) -> None:
    """Where pillow-heif is not installed, a HEIC photograph's row names the extra."""
    astronaut().save(tmp_path / "a.heic", "HEIF")
    script = (
        "import sys; sys.modules['pillow_heif'] = None\n"
        "from pathlib import Path; from batch.images.decode import ImageError, read_photograph\n"
        "try: read_photograph(Path(sys.argv[1]), 10**9, 10**5)\n"
        "except ImageError as error: print(error.status, error.reason)"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.heic")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    assert done.stdout.startswith("unreadable HEIC photographs need the extra [heic]")
