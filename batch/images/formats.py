"""Which files are images: by suffix, and by their first bytes where the suffix does not say."""

_READ = (
    "jpg jpeg jpe jfif mpo png apng webp bmp dib tif tiff gif avif avifs jp2 j2k j2c jpc jpf jpx pbm pgm ppm pnm pfm"
)
_READ_AS_PILLOW_DOES = "tga icb vda vst pcx sgi rgb rgba bw qoi ico psd dds msp im fli flc ftc ftu blp xbm xpm"
_RAW = "3fr arw cr2 cr3 crw dng erf iiq kdc mos mrw nef nrw orf pef raf rw2 rwl sr2 srf srw x3f"
_NOT_READ = "heic heif eps ps emf wmf"  # recognised, and given a row that says why

RAW_SUFFIXES = frozenset(_RAW.split())
SUFFIXES = frozenset(f"{_READ} {_READ_AS_PILLOW_DOES} {_RAW} {_NOT_READ}".split())

_SIGNATURES = (
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, little endian
    b"MM\0*",  # TIFF, big endian
    b"\0\0\0\x0cjP  \r\n\x87\n",  # JPEG 2000
    b"\xff\x4f\xff\x51",  # JPEG 2000 code stream
)
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")


def has_image_suffix(name: str) -> bool:
    """Whether the name ends like an image's, in either case."""
    _, dot, suffix = name.rpartition(".")
    return bool(dot) and suffix.lower() in SUFFIXES


def starts_like_image(start: bytes) -> bool:
    """Whether a file's first 16 bytes are those of an image format that photographs come in.

    BMP is missing here on purpose: its two letters are too common in other files.
    """
    if start.startswith(_SIGNATURES):
        return True
    riff = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    return riff or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
