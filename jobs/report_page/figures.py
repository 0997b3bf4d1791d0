"""The numbers behind the report's charts: counts, and shares with the range in which they can be trusted."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

FEW = 30
"""Faces below which a folder is hatched: its shares say little."""
CONFIDENCES = tuple(np.linspace(0, 1, 21).round(2))
SIZES = tuple(2.0 ** np.arange(4, 12.5, 0.5))
"""Edges of the bins of face sizes: 16 to 4096 pixels in steps of a half power of two."""
_MOMENTS = 40
_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Share:
    """How many of how many have a name, and the 95 % interval of their share."""

    name: str
    count: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True)
class Group:
    """The faces of a folder or a period, by label; labels without a face are left out."""

    name: str
    faces: int
    shares: list[Share]

    @property
    def few(self) -> bool:
        """Whether there are too few faces to say much."""
        return self.faces < FEW


def wilson(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of the share ``count / of`` (Wilson 1927, Probable inference, J. Am. Stat. Assoc. 22)."""
    if not of:
        return 0.0, 1.0
    share, z2 = count / of, _NORMAL_95**2
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    reach = _NORMAL_95 / (1 + z2 / of) * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def shares(counts: Iterable[tuple[str, int]]) -> list[Share]:
    """The share of each name in the sum of all; names that were not counted are left out."""
    known = [(str(name), int(count)) for name, count in counts if count]
    of = sum(count for _, count in known)
    return [Share(name, count, of, *wilson(count, of)) for name, count in known]


def groups(names: Sequence[str], counts: np.ndarray, labels: Sequence[str]) -> list[Group]:
    """A group for each row of ``counts`` (names, labels)."""
    return [
        Group(name, int(row.sum()), shares(zip(labels, row, strict=True)))
        for name, row in zip(names, counts, strict=True)
    ]


def counted(group: np.ndarray, label: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How often each label (columns) occurs in each group (rows), both given as codes, of which -1 is none."""
    known = (group >= 0) & (label >= 0)
    flat = np.bincount(group[known] * shape[1] + label[known], minlength=shape[0] * shape[1])
    return np.asarray(flat.reshape(shape))


def histogram(values: Iterable[float], edges: Sequence[float]) -> list[int]:
    """How many values lie between each two edges; what lies beyond counts at the end it lies at."""
    inside = np.clip(np.asarray(list(values), float), edges[0], edges[-1])
    return [int(count) for count in np.histogram(inside, edges)[0]]


def by_period(moments: "pd.Series[pd.Timestamp]", label: np.ndarray, labels: Sequence[str]) -> list[Group]:
    """The faces by day, month or year, the finest that is still readable; those without a moment are left out."""
    dated = moments.notna().to_numpy()
    if not dated.any():
        return []
    moments, label = moments[dated], label[dated]
    for frequency in ("D", "M", "Y"):
        periods = moments.dt.to_period(frequency)
        if (periods.max() - periods.min()).n < _MOMENTS or frequency == "Y":
            break
    every = pd.period_range(periods.min(), periods.max(), freq=periods.dt.freq)
    counts = counted(every.get_indexer(pd.PeriodIndex(periods)), label, (len(every), len(labels)))
    return groups([str(period) for period in every], counts, labels)
