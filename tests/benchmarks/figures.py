"""The figures of a benchmark as JSON, so that two revisions can be compared: ``compare.py ONE.json OTHER.json``."""

import argparse
import json
from pathlib import Path


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Let the figures be written to a file."""
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")


def write_figures(file: Path | None, rows: list[dict[str, str | int | float]]) -> None:
    """Write a row for each measurement, if there is a file: text and whole numbers tell what, floats are figures."""
    if file is not None:
        file.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")
