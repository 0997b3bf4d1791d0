"""File names as text."""

import os

from hypothesis import given
from hypothesis import strategies as st

from batch.names import from_text, number_of, to_text

file_names = st.binary(min_size=1, max_size=40).filter(lambda name: b"/" not in name and b"\0" not in name)


@given(file_names)
def test_any_name_survives(name: bytes) -> None:
    """Every name that Linux allows becomes valid UTF-8 and can be turned back."""
    text = to_text(os.fsdecode(name))
    assert text.encode("utf-8").decode("utf-8") == text
    assert os.fsencode(from_text(text)) == name


@given(st.tuples(file_names, file_names))
def test_different_names_stay_different(names: tuple[bytes, bytes]) -> None:
    """No two names become the same text."""
    one, other = (to_text(os.fsdecode(name)) for name in names)
    assert (one == other) == (names[0] == names[1])


def test_ordinary_names_stay_as_they_are() -> None:
    """Names with emoji, new lines, dashes and quotes are not touched."""
    for name in ("a.jpg", "-rf.jpg", "new\nline.png", "😀.jpg", "naïve 'quoted'.gif"):
        assert to_text(name) == name


def test_one_is_no_plural() -> None:
    """One image, and several of them or none."""
    assert [number_of(count, "image") for count in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
