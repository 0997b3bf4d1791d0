"""What is installed."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("batch", "model", "jobs")


def test_the_wheel_has_every_file(tmp_path: Path) -> None:
    """Whoever installs the package gets all of its code, the weights and the templates."""
    source = tmp_path / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    expected = {
        str(file.relative_to(source)) for one in PACKAGES for file in (source / one).rglob("*") if file.is_file()
    }
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source]
    subprocess.run(build, check=True)
    [wheel] = tmp_path.glob("*.whl")
    assert expected <= set(zipfile.ZipFile(wheel).namelist())


def test_the_version_stands_in_one_place_and_is_cited() -> None:
    """Pyproject has it, CITATION.cff repeats it."""
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text()


def test_packages_are_typed() -> None:
    """Whoever imports them gets their types; the wheel's test above sees that the marker ships."""
    assert all((REPOSITORY / package / "py.typed").is_file() for package in PACKAGES)
