"""Read an image file: header first, then gray pixels, upright, no larger than they need to be."""

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from batch.errors import RootError
from batch.faults import TransientError, may_heal
from batch.images.exif import orientation_and_moment
from batch.images.formats import RAW_SUFFIXES
from batch.images.levels import eight_bits, strips
from batch.images.limits import check_memory, check_metadata
from batch.images.raw import READS_RAW, open_raw
from batch.outcome import VANISHED, ImageError, Status
from batch.roots.root import ImageSource

try:
    from pillow_heif import register_heif_opener
except ImportError:
    _READS_HEIC = False  # the extra [heic] is not installed
else:
    register_heif_opener()
    _READS_HEIC = True

Image.MAX_IMAGE_PIXELS = None  # --max-pixels decides, from the header
ImageFile.LOAD_TRUNCATED_IMAGES = False
warnings.filterwarnings("ignore", module="PIL")  # what matters is in the outcome

_NOT_READ = {
    "HEIC": "HEIC photographs need the extra [heic]: pip install 'emotion-annotate[heic]', then --retry-failed",
    "RAW": "camera RAW photographs need the extra [raw]: pip install 'emotion-annotate[raw]', then --retry-failed",
    "EPS": "EPS is a drawing, not a photograph",
    "WMF": "WMF is a drawing, not a photograph",
}
_SUFFIXES_NOT_READ = {"heic": "HEIC", "heif": "HEIC", "eps": "EPS", "ps": "EPS", "wmf": "WMF", "emf": "WMF"}
_SHRUNK = ("JPEG", "MPO")
"""Formats that are decoded at the size that is needed."""
_ONLY_HEADER = ("JPEG", "PNG", "TIFF", "JPEG2000", "BMP", "PPM", "AVIF", *(("HEIF",) if _READS_HEIC else ()))
"""Formats of which opening an image reads the header and no more."""

_MOST_READ_AGAIN = 64
"""MiB of a damaged file that are read once more."""


@dataclass(frozen=True)
class Photograph:
    """A decoded image.

    ``gray`` is (rows, columns) uint8, upright, and may be smaller than the image; ``width`` and ``height`` are those
    of the upright full-size image.
    """

    gray: np.ndarray
    width: int
    height: int
    taken_at: datetime | None


def read_photograph(file: ImageSource, max_pixels: int, decode_long_side: int) -> Photograph:
    """Read and decode ``file``. JPEGs are decoded at the smallest DCT scale with at least ``decode_long_side`` pixels.

    Raises ImageError with status DENIED, UNREADABLE, or TOO_LARGE (more than ``max_pixels``, as a rule known from the
    header and not decoded, or more than there is memory for).
    """
    with _explained(file), _at_most(max_pixels, file), _opened(file) as (image, full):
        if image.format in _NOT_READ:
            raise ImageError(Status.UNREADABLE, _NOT_READ[image.format])
        width, height = full or image.size
        _check_size(image, width, height, max_pixels)
        if image.format in _SHRUNK:
            shrink = max(1.0, max(width, height) / decode_long_side)
            image.draft("L", (math.ceil(width / shrink), math.ceil(height / shrink)))
        image.load()
        if not full and image.format not in _SHRUNK:
            width, height = image.size  # a HEIC may turn out larger, or smaller, than its header says
            _check_size(image, width, height, max_pixels)
        orientation, taken_at = orientation_and_moment(image)
        gray = np.ascontiguousarray(_upright(_gray(image), orientation))
    if orientation >= 5:
        width, height = height, width
    return Photograph(gray, width, height, taken_at)


def read_picture(file: ImageSource, least: float = 1.0) -> tuple[Image.Image, float]:
    """Read and decode ``file`` as a person sees it, upright, in RGB; and the scale that it was decoded at.

    That is 1, or for JPEGs anything from ``least`` up. Raises ImageError.
    """
    with _explained(file), _opened(file) as (image, full):
        width, height = full or image.size
        if least < 1 and image.format in _SHRUNK:
            image.draft(None, (math.ceil(width * least), math.ceil(height * least)))
        image.load()
        scale = image.width / width if full or image.format in _SHRUNK else 1.0
        orientation, _ = orientation_and_moment(image)
        shown = _flat(image) if image.mode not in ("I", "F", "LAB") and image.mode[:2] != "I;" else None
        pixels = np.asarray(shown.convert("RGB")) if shown else np.dstack([_gray(image)] * 3)
        return Image.fromarray(np.ascontiguousarray(_upright(pixels, orientation))), scale


def read_orientation(file: ImageSource) -> tuple[int, int, int]:
    """EXIF orientation (1 to 8) of ``file``, and the width and height that it is stored with; raises ImageError."""
    with _explained(file), _opened(file) as (image, full):
        return orientation_and_moment(image)[0], *(full or image.size)


@contextmanager
def _at_most(pixels: int, file: ImageSource) -> Iterator[None]:
    """Refuse ``file`` if it has more pixels, or an image within it has: a frame, one of an icon's sizes.

    Not every image is as large as its header says, and some formats decode, or make room, when they are opened.
    """
    Image.MAX_IMAGE_PIXELS = pixels / 2  # type: ignore[assignment] # Pillow warns of more, and refuses twice as many
    try:
        yield
    except Image.DecompressionBombError as error:
        Image.MAX_IMAGE_PIXELS = None
        _check_header(file, pixels)
        raise ImageError(Status.TOO_LARGE, f"an image within it has more than --max-pixels {pixels}") from error
    finally:
        Image.MAX_IMAGE_PIXELS = None


def _check_size(image: Image.Image, width: int, height: int, most: int) -> None:
    """Raise ImageError, with the size of the upright image, if it has more pixels."""
    if width * height > most:
        # Pillow has the size of a TIFF upright already, and would decode a PNG to find out
        if image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info):
            orientation, _ = orientation_and_moment(image)
            width, height = (height, width) if orientation >= 5 else (width, height)
        reason = f"{width} x {height} pixels are more than --max-pixels {most}"
        raise ImageError(Status.TOO_LARGE, reason, width, height)


def _check_header(file: ImageSource, most: int) -> None:
    """Check the size in the header of a format of which opening costs no more."""
    with suppress(UnidentifiedImageError), file.open("rb") as stream, Image.open(stream, formats=_ONLY_HEADER) as image:
        _check_size(image, *image.size, most)


@contextmanager
def _opened(file: ImageSource) -> Iterator[tuple[Image.Image, tuple[int, int] | None]]:
    """The image, of which the header has been read; and of what the image previews, the (width, height)."""
    with file.open("rb") as stream:
        if not stream.read(1):
            raise ImageError(Status.UNREADABLE, "the file is empty")
        stream.seek(0)
        if file.suffix[1:].lower() in RAW_SUFFIXES:
            if not READS_RAW:
                raise ImageError(Status.UNREADABLE, _NOT_READ["RAW"])
            image, size = open_raw(stream)
            with image:
                yield image, size
        else:
            check_metadata(stream)
            with Image.open(stream) as image:
                yield image, None


@contextmanager
def _explained(file: ImageSource) -> Iterator[None]:
    """Turn whatever a decoder raises into an ImageError that says what is wrong with the file."""
    try:
        yield
    except (ImageError, RootError, TransientError):
        raise
    except PermissionError as error:
        raise ImageError(Status.DENIED, "no permission to read the file") from error
    except FileNotFoundError as error:
        raise ImageError(Status.UNREADABLE, VANISHED) from error
    except Exception as error:  # Pillow's many decoders raise anything on a damaged file, also IndexError and such
        if may_heal(error):
            raise TransientError(_reason(file, error)) from error
        if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
            raise ImageError(Status.TOO_LARGE, "not enough memory to decode it") from error
        _check_readable(file)
        check_memory(file, _ONLY_HEADER)
        raise ImageError(Status.UNREADABLE, _reason(file, error)) from error


def _check_readable(file: ImageSource) -> None:
    """Raise TransientError if an image is only called damaged since its bytes cannot be read: libtiff does not tell."""
    try:
        with file.open("rb") as stream:
            for _ in range(_MOST_READ_AGAIN):
                if not stream.read(2**20):
                    return
    except Exception as error:
        if may_heal(error):
            raise TransientError(_reason(file, error)) from error


def _reason(file: ImageSource, error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        unread = _SUFFIXES_NOT_READ.get(file.suffix[1:].lower())
        if unread == "HEIC" and _READS_HEIC:
            unread = None
        return _NOT_READ[unread] if unread else "not an image, or damaged in its first bytes"
    text = " ".join(str(error).split()).replace(str(file), file.name)[:200]
    lower = text.lower()
    if "truncated" in lower or "not enough image data" in lower or isinstance(error, EOFError):
        return f"truncated: the file ends before the image does ({text or 'end of file'})"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {error.strerror}"
    return f"damaged: {text or type(error).__name__}"


def _gray(image: Image.Image) -> np.ndarray:
    """The image as (rows, columns) uint8; what is transparent becomes white."""
    if image.mode == "L" and "transparency" not in image.info:
        return np.asarray(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return eight_bits(image)
    if image.mode == "LAB":
        return np.asarray(image.getchannel(0))
    gray = np.empty((image.height, image.width), np.uint8)
    for rows, strip in strips(image):
        gray[rows] = np.asarray(_flat(strip).convert("L"))
    return gray


def _flat(image: Image.Image) -> Image.Image:
    """The image without transparency, on white, in a mode that converts to gray and to RGB."""
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return image.convert("RGB" if image.mode in ("HSV", "RGBX") else image.mode)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn pixels (rows, columns) or (rows, columns, channels) upright by EXIF orientation (CIPA DC-008, 0x0112)."""
    mirrored = pixels.swapaxes(0, 1)
    turned = {
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: mirrored,
        6: mirrored[:, ::-1],
        7: mirrored[::-1, ::-1],
        8: mirrored[::-1],
    }
    return turned.get(orientation, pixels)
