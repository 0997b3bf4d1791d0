"""Camera RAW photographs: the preview that the camera put inside, or a quick development where there is none."""

import io
from typing import BinaryIO

from PIL import ExifTags, Image

try:
    import rawpy
except ImportError:
    READS_RAW = False  # the extra [raw] is not installed
else:
    READS_RAW = True

_ENOUGH = 640
"""Long side of a preview, in pixels, below which the sensor's own pixels are developed instead."""
_ORIENTATION_OF_FLIP = {3: 3, 5: 8, 6: 6}
"""LibRaw's turns as EXIF has them."""
_UNKNOWN_YEAR = 1970


def open_raw(stream: BinaryIO) -> tuple[Image.Image, tuple[int, int]]:
    """An image of the photograph, with its EXIF, and the (width, height) of the full one; neither is upright yet.

    Raises rawpy.LibRawError if it is damaged.
    """
    with rawpy.imread(stream) as raw:
        size, flip = (raw.sizes.width, raw.sizes.height), raw.sizes.flip  # developing sets the flip to 0
        image = _preview(raw)
        if image is None or max(image.size) < min(_ENOUGH, *size):
            image = Image.fromarray(raw.postprocess(half_size=True, use_camera_wb=True, user_flip=0))
        exif = image.getexif()
        if image.format is None:
            exif[ExifTags.Base.Orientation] = _ORIENTATION_OF_FLIP.get(flip, 1)
        if raw.other.timestamp.year > _UNKNOWN_YEAR:
            moment = f"{raw.other.timestamp:%Y:%m:%d %H:%M:%S}"
            exif.get_ifd(ExifTags.IFD.Exif).setdefault(ExifTags.Base.DateTimeOriginal, moment)
        return image, size


def _preview(raw: "rawpy.RawPy") -> Image.Image | None:
    try:
        preview = raw.extract_thumb().data
    except (rawpy.LibRawNoThumbnailError, rawpy.LibRawUnsupportedThumbnailError):
        return None
    return Image.open(io.BytesIO(preview)) if isinstance(preview, bytes) else Image.fromarray(preview)
