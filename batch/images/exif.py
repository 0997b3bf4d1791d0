"""What EXIF tells of a photograph: which way up it is, and when it was taken."""

from datetime import datetime

from PIL import ExifTags, Image

_FIRST_PHOTOGRAPH = 1826
"""The year of Niépce's; some cameras without a clock write the year 1."""


def orientation_and_moment(image: Image.Image) -> tuple[int, datetime | None]:
    """EXIF orientation (1 to 8) and the moment the photograph was taken; damaged EXIF is no EXIF."""
    try:
        exif = image.getexif()
        orientation = exif.get(ExifTags.Base.Orientation, 1)
        details = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # the EXIF parser raises anything on damaged tags; the pixels are good all the same
        return 1, None
    taken = details.get(ExifTags.Base.DateTimeOriginal) or details.get(ExifTags.Base.DateTimeDigitized)
    return (orientation if orientation in range(1, 9) else 1), _moment(taken)


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.strptime(text.strip("\0 ")[:19], "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None
    return moment if moment.year >= _FIRST_PHOTOGRAPH else None
