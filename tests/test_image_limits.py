"""What an image costs: memory in proportion to its pixels, and a lack of it is never called damage."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import noise
from PIL import Image

from batch.images import levels
from batch.images.decode import read_photograph
from batch.outcome import ImageError, Status

_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from batch.images.decode import read_photograph
from batch.outcome import ImageError
read_photograph(Path(sys.argv[2]), 10**9, 100)  # so that all that is needed beside the image is loaded
used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]) * 2**20,) * 2)
try:
    read_photograph(Path(sys.argv[1]), 10**9, 100)
    print("read")
except ImageError as error:
    print(error.status, error.reason)
"""


@pytest.mark.parametrize("mebibytes", [20, 40, 60, 80])
def test_a_lack_of_memory_is_no_damage(mebibytes: int, tmp_path: Path) -> None:
    """A sound progressive JPEG under a limit on memory is read or too large, and never damaged."""
    file, small = tmp_path / "progressive.jpg", tmp_path / "small.jpg"
    Image.effect_noise((5000, 5000), 50).convert("RGB").save(file, progressive=True, quality=50)
    noise(1).save(small, progressive=True)
    line = [sys.executable, "-c", _WITH_LITTLE_MEMORY, str(file), str(small), str(mebibytes)]
    said = subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()
    assert said in ("read", "too_large not enough memory to decode it")


def test_a_damaged_image_is_damaged_where_there_is_memory(tmp_path: Path) -> None:
    """Whatever is looked at, damage stays damage."""
    file = tmp_path / "cut.jpg"
    noise(1, 200).save(file, progressive=True)
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ImageError) as raised:
        read_photograph(file, 10**9, 100)
    assert raised.value.status is Status.UNREADABLE


_MOST_BYTES_A_PIXEL = """
import sys
from pathlib import Path
from batch.images.decode import read_photograph

def most():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024

before, read = most(), read_photograph(Path(sys.argv[1]), 10**9, 100)
print((most() - before) / read.gray.size)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells how much memory was taken")
@pytest.mark.parametrize(("mode", "name"), [("F", "a.tif"), ("RGBA", "a.png"), ("LA", "a.png")])
def test_images_take_little_memory(mode: str, name: str, tmp_path: Path) -> None:
    """An image of 36 megapixels, which may be a few bytes, takes some bytes a pixel, and not sixteen or thirty."""
    packed = {"compression": "tiff_adobe_deflate"} if name == "a.tif" else {}
    Image.new(mode, (6000, 6000)).save(tmp_path / name, **packed)
    line = [sys.executable, "-c", _MOST_BYTES_A_PIXEL, str(tmp_path / name)]
    assert 4 < float(subprocess.run(line, capture_output=True, text=True, check=True).stdout) < 11


@pytest.mark.parametrize("kind", [np.float32, np.int32, np.uint16])
def test_levels_are_scaled_alike_in_one_piece_and_in_many(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """How many rows are turned at a time changes nothing."""
    image = Image.fromarray(np.random.default_rng(0).integers(0, 5000, (37, 11)).astype(kind))
    whole = levels.eight_bits(image)
    monkeypatch.setattr(levels, "_AT_ONCE", 30)
    np.testing.assert_array_equal(levels.eight_bits(image), whole)
    assert whole.max() > 150


def test_what_is_no_number_is_black() -> None:
    """Whatever lies beyond all numbers, the others have the whole range of gray."""
    image = Image.fromarray(np.array([[0, 1, np.inf], [2, np.nan, -np.inf]], np.float32))
    assert levels.eight_bits(image).tolist() == [[0, 127, 0], [255, 0, 0]]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "CMYK"])
def test_transparency_and_colour_are_the_same_in_one_piece_and_in_many(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many rows are turned to gray at a time changes nothing."""
    file = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    colours = Image.fromarray(np.random.default_rng(0).integers(0, 256, (37, 11, 3), np.uint8))
    image = colours.convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(colours.getchannel(0))
    image.save(file, **({"transparency": 3} if mode == "P" else {}))
    whole = read_photograph(file, 10**9, 100).gray
    monkeypatch.setattr(levels, "_AT_ONCE", 30)
    np.testing.assert_array_equal(read_photograph(file, 10**9, 100).gray, whole)
    assert whole.shape == (37, 11)
    assert whole.max() > 150


def test_much_metadata_is_told_and_not_read(tmp_path: Path) -> None:
    """A JPEG with 40 MB of EXIF costs no time: it is too large, and says of what; one with 1 MB is read."""
    plain = io.BytesIO()
    noise(1).save(plain, "jpeg")
    start, rest = plain.getvalue()[:2], plain.getvalue()[2:]
    segment = b"\xff\xe1\xff\xffExif\0\0" + bytes(65535 - 8)
    file = tmp_path / "a.jpg"
    file.write_bytes(start + 16 * segment + rest)
    assert read_photograph(file, 10**9, 100).width == 64
    file.write_bytes(start + 640 * segment + rest)
    with pytest.raises(ImageError, match="more than 32 MB of metadata") as raised:
        read_photograph(file, 10**9, 100)
    assert raised.value.status is Status.TOO_LARGE
