"""Figures of two runs of the same benchmark beside each other, and their ratio.

python tests/benchmarks/compare.py ONE.json OTHER.json
"""

import json
import sys
from pathlib import Path


def read_figures(file: Path) -> dict[str, dict[str, float]]:
    """The figures of each measurement, by what was measured."""
    measured = {}
    for row in json.loads(file.read_text("utf-8")):
        figures = {name: value for name, value in row.items() if isinstance(value, float)}
        measured[", ".join(f"{name} {value}" for name, value in row.items() if name not in figures)] = figures
    return measured


def main() -> None:
    """Print a line for each figure that both have."""
    one, other = (read_figures(Path(name)) for name in sys.argv[1:3])
    print("| measured | figure | one | other | other / one |\n|---|---|---|---|---|")  # noqa: T201
    for what in (what for what in one if what in other):
        for name in (name for name in one[what] if name in other[what]):
            before, after = one[what][name], other[what][name]
            ratio = f"{after / before:.2f}" if before else "-"
            print(f"| {what} | {name} | {before:.5g} | {after:.5g} | {ratio} |")  # noqa: T201
    for what in one.keys() ^ other.keys():
        print(f"only in {'one' if what in one else 'other'}: {what}", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
