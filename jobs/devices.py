"""The values of ``--device``."""

from enum import StrEnum


class Device(StrEnum):
    """Where a CNN runs."""

    AUTO = "auto"
    CPU = "cpu"
    GPU = "gpu"
