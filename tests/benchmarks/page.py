"""How long the filters of a report take in Chromium, by hand from the repository's root.

python tests/benchmarks/page.py --faces 100000

Each filter is changed five times, with charts and layout, and the quickest counts. The faces lie in 8,400 folders.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from figures import add_json_option, write_figures

from jobs.report_page.page import render

sys.path.append(str(Path(__file__).parents[1]))
from report_pages import FILTERING, many, seen_by_browser


def main() -> None:
    """Write the page, filter it in the browser, print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=int, default=100_000)
    add_json_option(parser)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        page = Path(name) / "report.html"
        page.write_text(render(many(Path(name) / "out", arguments.faces), page=page), "utf-8")
        megabytes = page.stat().st_size / 1e6
        times = seen_by_browser(page, FILTERING)["times"]
    assert isinstance(times, dict)
    told = ", ".join(f"{name} {time:.0f}" for name, time in times.items())
    print(f"{arguments.faces} faces: {megabytes:.1f} MB, filters in ms: {told}")  # noqa: T201
    write_figures(arguments.json, [{"faces": arguments.faces, "MB": megabytes, "slowest ms": max(times.values())}])


if __name__ == "__main__":
    main()
