r"""File names as text that every table can hold, and numbers of things as a person says them.

A Linux file name is bytes and need not be UTF-8; Parquet and CSV hold UTF-8 only. So a backslash is written ``\\`` and
a byte that is not UTF-8 ``\xNN``; all other names stay as they are, and every name can be turned back.
"""

import re
import sys

_UNDECODABLE = re.compile("[\udc80-\udcff]")
_ESCAPED = re.compile(r"\\(\\|x[0-9a-f]{2})")


def names_are_misread() -> str | None:
    """What is wrong if this process takes the bytes of file names for other than UTF-8: tables would hold others."""
    encoding = sys.getfilesystemencoding()
    if encoding == "utf-8":
        return None
    return f"This locale reads the names of files as {encoding}. Set LC_ALL=C.UTF-8, or PYTHONUTF8=1."


def to_text(name: str) -> str:
    """Write a file name, as ``os`` gives it (undecodable bytes as surrogates), as valid Unicode."""
    if name.isascii() and "\\" not in name:
        return name
    return _UNDECODABLE.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", name.replace("\\", "\\\\"))


def from_text(text: str) -> str:
    """Turn what ``to_text`` wrote back into the file name that ``os`` takes."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda mark: "\\" if mark[1] == "\\" else chr(0xDC00 + int(mark[1][1:], 16)), text)


def number_of(count: int, thing: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
