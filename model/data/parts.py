"""The parts that data sets come in."""

ALL = "all"
"""The one part of a data set that comes without a split."""
TRAIN, VALIDATION, TEST = "train", "val", "test"

_NAMES = {
    TRAIN: ("train", "training"),
    VALIDATION: ("val", "valid", "validation", "dev", "publictest"),
    TEST: ("test", "testing", "privatetest"),
}
"""How data sets call them; FER2013's ``Usage`` is Training, PublicTest and PrivateTest."""


def part_named(name: str) -> str | None:
    """The part that a data set calls ``name``, None if that is no part."""
    plain = name.strip().casefold()
    return next((part for part, names in _NAMES.items() if plain in names), None)
