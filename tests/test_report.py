"""The report page."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import annotate_here, astronaut, noise
from typer.testing import CliRunner

from batch.names import from_text
from jobs.report import app
from jobs.report_page.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ODD = ("<script>alert(1)<", "$x^{", "_hidden", "日本 & קובץ")


@pytest.fixture
def annotations(photos: Path, tmp_path: Path) -> Path:
    """An output with faces in folders of odd names, with moments and without, and images that could not be used."""
    for number, name in enumerate(ODD):
        (photos / name).mkdir()
        astronaut().rotate(number).save(photos / name / "face.jpg", exif=taken(2020 + number))
    (photos / ODD[0] / "script>.jpg").write_bytes(b"no image")
    noise(1).save(photos / "noise.png")
    annotate_here(photos, tmp_path / "out")
    return tmp_path / "out"


def taken(year: int) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = f"{year}:05:06 07:08:09"
    return exif.tobytes()


def test_page_stands_alone_and_runs_nothing(annotations: Path) -> None:
    """The page has the figures, loads nothing and shows names that look like HTML or formulas as text."""
    page = render(annotations)
    faces = pd.read_parquet(annotations / "faces.parquet")
    assert f"{len(faces)} faces in 10 images" in page
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert "$x^{" in page and "_hidden" in page
    assert "not an image" in page
    for forbidden in ("<script", "http://", "https://", "@import", "<link", "url(http"):
        assert forbidden not in page.replace('xmlns="http://www.w3.org/2000/svg"', "").replace(
            'xmlns:xlink="http://www.w3.org/1999/xlink"', ""
        )
    assert set(re.findall(r'src="(.{0,5})', page)) == {"data:"}
    assert page.count("<img") == len(faces)
    assert "Over time" in page and ">2020-05<" in page
    assert "2 faces are in photographs that tell none" in page


def test_anonymous_page_has_no_faces_and_no_names(annotations: Path, photos: Path) -> None:
    """Without names and faces there are still the totals, the folders as numbers, and the failures by status."""
    page = render(annotations, anonymous=True)
    assert "<img" not in page
    for name in ("astronaut", "hidden", "script", "broken", "deep", str(photos)):
        assert name not in page
    assert "folder 1" in page and "unreadable" in page


def test_photographs_that_are_gone(annotations: Path, photos: Path) -> None:
    """A face whose photograph is gone is named all the same."""
    shutil.rmtree(photos)
    page = render(annotations)
    assert "<img" not in page
    assert page.count("not there any more") == len(pd.read_parquet(annotations / "faces.parquet"))


def test_output_without_faces(tmp_path: Path) -> None:
    """An output in which there is no face has a page that says so."""
    (tmp_path / "photos").mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    annotate_here(tmp_path / "photos", tmp_path / "out")
    assert "No face was found" in render(tmp_path / "out")


def test_thumbnails_show_the_face(annotations: Path, photos: Path) -> None:
    """What the contact sheet shows of a photograph is where the table says that the face is."""
    import base64
    import io

    from PIL import Image

    from jobs.report_page.faces import contact_sheets

    faces = pd.read_parquet(annotations / "faces.parquet")
    face = faces[faces["path"] == "astronaut.jpg"].iloc[:1]
    (sheet,) = contact_sheets(face, list(face["emotion"].astype(str)))
    picture = str(sheet.surest[0].picture).removeprefix("data:image/jpeg;base64,")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("L"), float)
    row = face.iloc[0]
    side = 1.3 * max(row["width"], row["height"])
    left, top = row["x"] + row["width"] / 2 - side / 2, row["y"] + row["height"] / 2 - side / 2
    cut = astronaut().convert("L").crop((round(left), round(top), round(left + side), round(top + side)))
    expected = np.asarray(cut.resize((96, 96), Image.Resampling.LANCZOS), float)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98
    assert from_text(row["path"]) == sheet.surest[0].name


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")
@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_page_in_a_browser(width: int, dark: bool, annotations: Path, tmp_path: Path) -> None:
    """In light and dark, on a phone and a desk: text stands out, nothing scrolls sideways, every picture loads."""
    page = json.dumps(render(annotations)).replace("</", "<\\/")
    (tmp_path / "look.html").write_text(
        f"""<iframe id=page style="width:{width}px;height:9000px"></iframe><pre id=seen></pre><script>
        const frame = document.getElementById("page"); frame.srcdoc = {page};
        frame.onload = () => {{
          const seen = frame.contentDocument, root = seen.documentElement, style = getComputedStyle(seen.body);
          const images = [...seen.images], boxes = [...seen.querySelectorAll("section")];
          document.getElementById("seen").textContent = JSON.stringify({{
            wider: root.scrollWidth - frame.clientWidth, ink: style.color, paper: style.backgroundColor,
            images: images.length, loaded: images.filter(i => i.naturalWidth > 0).length,
            charts: seen.querySelectorAll("svg").length, sections: boxes.length }}); }};
        </script>""",
        "utf-8",
    )
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=8000"]
    command = [str(CHROMIUM), *options, scheme, "--window-size=1400,1000", "--dump-dom", str(tmp_path / "look.html")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (text,) = re.findall(r'<pre id="seen">(\{.*?\})</pre>', done.stdout)
    seen = json.loads(text)
    assert seen["wider"] <= 0
    assert seen["images"] == seen["loaded"] == len(pd.read_parquet(annotations / "faces.parquet"))
    assert (seen["charts"], seen["sections"]) == (6, 9)
    ink, paper = (np.mean([int(level) for level in re.findall(r"\d+", seen[name])[:3]]) for name in ("ink", "paper"))
    assert (ink - paper > 150) if dark else (paper - ink > 150)
    assert "CONSOLE" not in done.stderr


@pytest.mark.parametrize("make", [True, False], ids=["empty folder", "no folder"])
def test_no_tables_is_an_error(make: bool, tmp_path: Path) -> None:
    """A folder without tables ends with exit code 5."""
    if make:
        (tmp_path / "out").mkdir()
    done = CliRunner().invoke(app, [str(tmp_path / "out"), "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 5
    assert not (tmp_path / "page.html").exists()
