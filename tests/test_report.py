"""The report page."""

import base64
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import annotate_here, astronaut, noise, write_photos
from handmade_tables import outcome, write_tables
from report_pages import CHROMIUM, FILTERING, many, seen_by_browser
from scipy.stats import binomtest
from typer.testing import CliRunner

from batch.errors import OutputError
from batch.names import from_text
from batch.outcome import ImageFile, Key, Outcome, Status
from batch.tables.snapshot import read_annotations
from jobs.report import app
from jobs.report_page.figures import groups, histogram, shares, wilson
from jobs.report_page.page import _charts, _failed, _folders, render
from jobs.report_page.rows import Rows
from model.labels import EMOTIONS

ODD = ("<script>alert(1)<", "$x^{", "_hidden", "日本 & קובץ")


@pytest.fixture(name="odd_photos", scope="module")
def odd_photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs in folders of odd names, with moments and without, and images that cannot be used."""
    photos = write_photos(tmp_path_factory.mktemp("odd") / "photos")
    for number, name in enumerate(ODD):
        (photos / name).mkdir()
        astronaut().rotate(number).save(photos / name / "face.jpg", exif=taken(2020 + number))
    (photos / ODD[0] / "script>.jpg").write_bytes(b"no image")
    noise(1).save(photos / "noise.png")
    return photos


@pytest.fixture(scope="module")
def annotations(odd_photos: Path) -> Path:
    """The output of them, for those who read it."""
    annotate_here(odd_photos, odd_photos.parent / "out")
    return odd_photos.parent / "out"


def taken(year: int) -> bytes:
    from PIL import Image

    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = f"{year}:05:06 07:08:09"
    return exif.tobytes()


def test_page_stands_alone_and_runs_nothing_of_others(annotations: Path, odd_photos: Path) -> None:
    """The page has the figures, loads nothing and shows names that look like HTML or formulas as text."""
    page = render(annotations)
    faces = pd.read_parquet(annotations / "faces.parquet")
    assert f"{len(faces)} faces in 10 images" in page
    assert f"{odd_photos} (10 images)" in page
    assert "&lt;script&gt;alert(1)&lt;" in page
    assert "$x^{" in page and "_hidden" in page
    assert "not an image" in page
    assert page.count("<script") == page.count("</script") == 2
    assert "default-src 'none'" in page
    for forbidden in ("http://", "https://", "@import", "<link", "url("):
        assert forbidden not in page
    assert set(re.findall(r'src="(.{0,5})', page)) == {"data:"}
    assert "Over time" in page and ">2020-05<" in page
    assert "Without one: 2 faces in 2 photographs." in page
    assert "deep/<wbr>mirrored<wbr>.png" in page
    assert not re.findall(r"[\d}] %", page), "a line that begins with a percent sign"


def test_page_tells_of_the_model(annotations: Path) -> None:
    """Its name and the beginning of its hash, and its card as headings, tables and paragraphs, no click away."""
    page = render(annotations)
    sha256 = json.loads((annotations / "run.json").read_text("utf-8"))["identity"]["model"]
    assert f">emotions.keras, {sha256[:12]}</td>" in page
    assert 'href="#model-card"' in page
    card = page.partition('<section id="model-card">')[2].partition("</section>")[0]
    assert card.startswith("<h2>Model card: <code>emotions.keras</code></h2>")
    assert "<th>macro-F1</th>" in card and "<strong>facial expression</strong>" in card
    assert "**" not in card and "<details" not in card


def test_no_face_comes_twice_among_the_surest(photos: Path, tmp_path: Path) -> None:
    """Copies of a photograph, saved anew or smaller, are shown once; another face beside them."""
    for quality, side in ((75, 512), (85, 512), (85, 400)):
        astronaut().resize((side, side)).save(photos / f"copy{quality}_{side}.jpg", quality=quality)
    (photos / "deep" / "mirrored.png").rename(photos / "mirrored.png")
    annotate_here(photos, tmp_path / "out")
    assert len(pd.read_parquet(tmp_path / "out" / "faces.parquet")) == 5
    assert render(tmp_path / "out").count("<figure data-row") == 2


def test_links_lead_to_the_photographs(annotations: Path, odd_photos: Path, tmp_path: Path) -> None:
    """Each face of the contact sheets is a link to its file, as seen from where the page lies, whatever its name."""
    from urllib.parse import unquote

    (tmp_path / "site").mkdir()
    links = re.findall(r'<a href="([^"]+)"><span class="crop">', render(annotations, page=tmp_path / "site" / "r.html"))
    assert links
    for link in links:
        assert (tmp_path / "site" / unquote(link)).resolve().is_relative_to(odd_photos)
        assert (tmp_path / "site" / unquote(link)).is_file()


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (3, 10), (60, 112), (0, 50), (99_000, 100_000)])
def test_intervals_are_wilsons(count: int, of: int) -> None:
    """The interval of a share is what SciPy says."""
    expected = binomtest(count, of).proportion_ci(method="wilson")
    assert wilson(count, of) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_shares_are_of_all_that_were_counted() -> None:
    """Three and one of four; a folder of few faces is told, and sizes beyond the last bin count in it."""
    assert [(one.name, one.count, one.of) for one in shares([("a", 3), ("b", 0), ("c", 1)])] == [
        ("a", 3, 4),
        ("c", 1, 4),
    ]
    few, many_of_one = groups(["x", "y"], np.array([[3, 0, 1], [30, 0, 0]]), "abc")
    assert (few.faces, few.few, many_of_one.faces, many_of_one.few) == (4, True, 30, False)
    assert histogram([1, 20, 40, 9999], (16, 32, 64)) == [2, 2]


@pytest.fixture(scope="module")
def handmade(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """Five faces of 20 x 40 pixels in two folders, two of them in one photograph, and one that could not be read."""
    photos = tmp_path_factory.mktemp("handmade") / "photos"
    confidences, outcomes = {"a/0": 0.9, "a/1": 0.3, "b/0": 0.5, "b/1": 0.7}, []
    for number, (name, confidence) in enumerate(confidences.items()):
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        noise(number, 128).save(photos / f"{name}.png")
        boxes = [(10, 10, 20, 40), (90, 70, 20, 40)][: 1 + (name == "b/1")]
        outcomes.append(outcome(photos, f"{name}.png", dict.fromkeys(boxes, "joy"), confidence))
    broken = ImageFile(Key(str(photos), "b/broken.png"), 1, 1)
    outcomes.append(Outcome(broken, Status.UNREADABLE, "cut off"))
    faces, images = read_annotations(write_tables(photos.parent / "out", *outcomes))
    return Rows(faces, images, list(EMOTIONS))


def test_charts_by_hand(handmade: Rows) -> None:
    """The fullest folder comes first, sizes are of the longer side, photographs without a moment count once."""
    assert [(group.name, group.faces) for group in _folders(handmade, anonymous=False)] == [("b", 3), ("a", 2)]
    charts = _charts(handmade, True, Path("page.html"))
    assert [(low, count) for low, _, count in charts["sizes"] if count] == [(32, 5)]
    assert charts["undated"] == (5, 4)


def test_the_surest_and_the_least_sure_from_the_ends(handmade: Rows, tmp_path: Path) -> None:
    """The surer half begins with the surest face, the other one with the least sure."""
    (sheet,) = _charts(handmade, False, tmp_path / "page.html")["sheets"]
    assert [face.confidence for face in sheet.surest] == pytest.approx([0.9, 0.7, 0.7])
    assert [face.confidence for face in sheet.least_sure] == pytest.approx([0.3, 0.5])


def test_the_page_says_from_when_to_when(handmade: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first moment of annotation, and the last, wherever they stand in the table."""
    moments = pd.to_datetime([f"2026-01-0{day} 10:30" for day in (2, 3, 1, 2, 2)], utc=True)
    images = handmade.images.assign(annotated_at=moments)
    monkeypatch.setattr("jobs.report_page.page.read_annotations", lambda _: (handmade.faces, images))
    assert "<td>2026-01-01 10:30 to 2026-01-03 10:30 UTC</td>" in render(Path("/nowhere"))


def test_failed_images_are_counted_by_reason(handmade: Rows) -> None:
    """Without names only those that failed; with names none is left over as long as there are few."""
    assert _failed(handmade.images, True) == {"rows": [{"status": "unreadable", "images": 1}], "more": 0}
    named = {"path": "b/broken.png", "status": "unreadable", "error": "cut off"}
    assert _failed(handmade.images, False) == {"rows": [named], "more": 0}
    many_failed = pd.concat([handmade.images.tail(1)] * 203)
    assert (len(_failed(many_failed, False)["rows"]), _failed(many_failed, False)["more"]) == (200, 3)


def numbers_of(page: str) -> pd.DataFrame:
    (encoded,) = re.findall(r'href="data:text/csv;charset=utf-8;base64,([^"]+)"', page)
    return pd.read_csv(io.BytesIO(base64.b64decode(encoded)))


def test_the_numbers_of_the_charts_are_a_table(annotations: Path) -> None:
    """The CSV in the page has what the charts show, each chart adding up to all faces, or images."""
    for anonymous in (False, True):
        numbers = numbers_of(render(annotations, anonymous))
        faces = len(pd.read_parquet(annotations / "faces.parquet"))
        sums = numbers.groupby("chart")["count"].sum()
        assert sums.to_dict() == {
            "images by status": 10,
            "faces by emotion": faces,
            "faces by folder": faces,
            "faces over time": faces - 2,
            "faces by confidence": faces,
            "faces by size": faces,
        }
        joy = numbers[(numbers["chart"] == "faces by emotion") & (numbers["name"] == "joy")].iloc[0]
        assert joy["low"] < joy["share"] <= joy["high"]
        assert ("deep" in "".join(numbers["group"])) is not anonymous


def test_anonymous_page_has_no_faces_and_no_names(annotations: Path, odd_photos: Path) -> None:
    """Without names and faces there are still the totals, the folders as numbers, and the failures by status."""
    page = render(annotations, anonymous=True)
    assert "<img" not in page and "<script" not in page
    for name in ("astronaut", "_hidden", "script&gt;", "broken", "deep/", str(odd_photos)):
        assert name not in page
    assert "folder 1" in page and "unreadable" in page


def test_photographs_that_are_gone(photos: Path, tmp_path: Path) -> None:
    """A face whose photograph is gone is named all the same."""
    annotate_here(photos, tmp_path / "out")
    shutil.rmtree(photos)
    page = render(tmp_path / "out")
    assert 'src="data:' not in page
    assert page.count("not there any more") == page.count("<figure data-row") > 0


def test_output_without_faces(tmp_path: Path) -> None:
    """An output in which there is no face has a page that says so."""
    (tmp_path / "photos").mkdir()
    noise(1).save(tmp_path / "photos" / "a.png")
    annotate_here(tmp_path / "photos", tmp_path / "out")
    assert "No face was found" in render(tmp_path / "out")


def test_thumbnails_show_the_face(annotations: Path, tmp_path: Path) -> None:
    """What the contact sheet shows of a photograph is where the table says that the face is."""
    from PIL import Image

    from jobs.report_page.faces import contact_sheets

    faces, images = (pd.read_parquet(annotations / f"{name}.parquet") for name in ("faces", "images"))
    faces = faces.merge(images[["path", "size_bytes", "modified_ns"]], on="path")
    face = faces[faces["path"] == "astronaut.jpg"].iloc[:1]
    (sheet,) = contact_sheets(face, list(face["emotion"].astype(str)), tmp_path / "page.html")
    picture = str(sheet.surest[0].picture).removeprefix("data:image/jpeg;base64,")
    thumbnail = Image.open(io.BytesIO(base64.b64decode(picture)))
    assert thumbnail.size == (96, 96) and np.ptp(np.asarray(thumbnail), axis=2).max() > 50, "in colour"
    shown = np.asarray(thumbnail.convert("L"), float)
    row = face.iloc[0]
    side = 1.3 * max(row["width"], row["height"])
    left, top = row["x"] + row["width"] / 2 - side / 2, row["y"] + row["height"] / 2 - side / 2
    cut = astronaut().convert("L").crop((round(left), round(top), round(left + side), round(top + side)))
    expected = np.asarray(cut.resize((96, 96), Image.Resampling.LANCZOS), float)
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.98
    assert from_text(row["path"]) == sheet.surest[0].name


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium to look at the page with")


@needs_chromium
@pytest.mark.parametrize("width", [400, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_page_in_a_browser(width: int, dark: bool, annotations: Path, tmp_path: Path) -> None:
    """In light and dark, on a phone and a desk: text stands out, nothing scrolls sideways, pictures stay square."""
    page = tmp_path / "report.html"
    page.write_text(render(annotations, page=page), "utf-8")
    seen = seen_by_browser(
        page,
        f"""document.body.style.width = "{width}px";
        const lines = text => {{
          const range = document.createRange();
          range.selectNode(text);
          return range.getClientRects().length; }};
        const style = getComputedStyle(document.body), images = [...document.querySelectorAll("figure img[src^=data]")];
        return {{ wider: document.body.scrollWidth - document.body.clientWidth,
          words: [...document.querySelectorAll("td.word")].map(x => x.firstChild && lines(x.firstChild)),
          heights: [...document.querySelectorAll("form > label > :is(input, select)")].map(x => x.offsetHeight),
          ink: style.color, paper: style.backgroundColor, shapes: images.map(i => i.clientWidth - i.clientHeight),
          ready: document.documentElement.dataset.ready }};""",
        f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--window-size=1400,1000",
    )
    assert seen["wider"] <= 0 and seen["ready"] is not None
    assert set(seen["words"]) == {1} and len(set(seen["heights"])) == 1
    assert seen["shapes"] and set(seen["shapes"]) == {0}
    ink, paper = (np.mean([int(level) for level in re.findall(r"\d+", seen[name])[:3]]) for name in ("ink", "paper"))
    assert (ink - paper > 150) if dark else (paper - ink > 150)


@needs_chromium
def test_filters_find_what_the_table_has(annotations: Path, tmp_path: Path) -> None:
    """Whatever is filtered and sorted, the page shows the rows that pandas finds, and their shares."""
    page = tmp_path / "report.html"
    page.write_text(render(annotations, page=page), "utf-8")
    faces, images = (pd.read_parquet(annotations / f"{name}.parquet") for name in ("faces", "images"))
    surest = faces["confidence"].median()
    dated = images[images["taken_at"] >= "2022"]["path"]
    seen = seen_by_browser(
        page,
        f"""const form = document.forms[0], out = {{}}, text = id => document.getElementById(id).textContent;
        const names = () => [...document.querySelectorAll("#faces figcaption")].map(x => x.lastChild.textContent);
        const filter = (name, changes) => {{
          form.reset();
          for (const [k, v] of Object.entries(changes)) form.elements[k].value = v;
          form.oninput(); out[name] = {{ found: text("found"), names: names() }}; }};
        filter("all", {{}});
        filter("folder", {{ folder: "HIDDEN" }});
        filter("sure", {{ surer: {100 * surest:.2f} }});
        filter("dated", {{ after: "2022-01-01", order: "oldest" }});
        filter("large", {{ larger: 10000 }});
        filter("unreadable", {{ status: [...form.elements.status.options].find(o => o.text === "unreadable").value }});
        form.reset(); form.oninput();
        document.querySelector("#labels input").click(); form.oninput();
        out.unjoyful = {{ found: text("found") }};
        form.reset(); form.oninput();
        out.periods = [...document.querySelectorAll("#by-period .columns > div")].map(x => x.title);
        document.querySelector("figure[data-row] a").click();
        out.looking = document.getElementById("look").open;
        return out;""",
    )
    found = {name: one["found"] for name, one in seen.items() if name not in ("looking", "periods")}
    assert found["all"] == f"{len(faces)} of {len(faces)} faces"
    assert found["folder"].startswith(f"{faces['path'].str.contains('_hidden/').sum()} of")
    assert found["sure"].startswith(f"{(faces['confidence'].round(3) >= round(surest, 4)).sum()} of")
    assert found["dated"].startswith(f"{faces['path'].isin(dated).sum()} of")
    assert found["large"].startswith("0 of")
    assert found["unreadable"].endswith(f"{(images['status'] == 'unreadable').sum()} images without")
    assert sorted(seen["unreadable"]["names"]) == ["broken.jpg", "script>.jpg"]
    assert found["unjoyful"].startswith(f"{(faces['emotion'] != 'joy').sum()} of")
    assert seen["looking"] is True
    written = re.search(r"id=\"by-period\">(.*?)</section>", page.read_text("utf-8"), re.DOTALL)
    assert written and seen["periods"] == re.findall(r"<div title=\"(.*?)\"", written[1])
    assert seen["periods"][0] == "2020-05: 1 face"


@needs_chromium
def test_page_says_why_it_shows_no_photograph(tmp_path: Path) -> None:
    """It is gone, or this browser cannot show it, or not upright; where the page has the face itself, that is shown."""
    from PIL import Image

    (tmp_path / "photos").mkdir()
    upright = astronaut().crop((0, 0, 400, 300))
    for name in ("a.png", "b.png", "c.tif"):
        upright.save(tmp_path / "photos" / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photos" / "d.webp", exif=exif, lossless=True)
    annotate_here(tmp_path / "photos", tmp_path / "out")
    page = tmp_path / "report.html"
    page.write_text(render(tmp_path / "out", page=page), "utf-8")
    (tmp_path / "photos" / "a.png").unlink()
    (tmp_path / "photos" / "b.png").unlink()
    seen = seen_by_browser(
        page,
        """const seen = {}, dialog = document.getElementById("look");
        const wait = () => new Promise(go => setTimeout(go, 500));
        await wait();
        for (const one of document.querySelectorAll("#faces figure")) {
          one.querySelector("button").click();
          await wait();
          const tile = one.querySelector(".gone")?.textContent ?? "the face";
          seen[one.querySelector("figcaption").lastChild.textContent] = [tile, dialog.querySelector("p").textContent];
          dialog.close();
        }
        return seen;""",
        "--virtual-time-budget=10000",
    )
    gone, unknown = "not found; has it moved, or this page?", "this browser cannot show it"
    expected = {"a.png": gone, "b.png": gone, "c.tif": unknown, "d.webp": "this browser shows it sideways"}
    assert {name: tile for name, (tile, _) in seen.items()} == expected | {"a.png": "the face"}
    for name, why in expected.items():
        assert seen[name][1].endswith(f"{name}: {why}")


def test_a_hundred_thousand_faces_fit_into_a_page(tmp_path: Path) -> None:
    """Their page has 8 MB at most; of thousands of folders the numbers have the thousand with most faces.

    A browser filters them, and has few elements to lay out: that is what makes it quick (``benchmarks/page.py``).
    """
    page = tmp_path / "report.html"
    page.write_text(render(many(tmp_path / "out"), page=page), "utf-8")
    assert page.stat().st_size <= 8_000_000
    by_folder = numbers_of(page.read_text("utf-8")).query("chart == 'faces by folder'")
    assert by_folder["group"].nunique() == 1001
    assert by_folder["count"].sum() == 100_000
    if CHROMIUM is None:
        pytest.skip("no Chromium to filter with")
    seen = seen_by_browser(page, FILTERING)
    assert seen["found"].endswith("of 100,000 faces")
    assert seen["folders"] == 100
    assert seen["elements"] < 5000


@pytest.mark.parametrize("make", [True, False], ids=["empty folder", "no folder"])
def test_no_tables_is_an_error(make: bool, tmp_path: Path) -> None:
    """A folder without tables ends with exit code 5."""
    if make:
        (tmp_path / "out").mkdir()
    done = CliRunner().invoke(app, [str(tmp_path / "out"), "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 5
    assert not (tmp_path / "page.html").exists()


def test_a_page_of_nothing(tmp_path: Path) -> None:
    """A folder without images has tables, and a page that says so."""
    (tmp_path / "photos").mkdir()
    annotate_here(tmp_path / "photos", tmp_path / "out")
    assert "0 faces in 0 images" in render(tmp_path / "out")


def test_a_table_is_not_its_folder(tmp_path: Path) -> None:
    """Whoever names a table instead of the folder that it lies in is told so."""
    (tmp_path / "faces.parquet").write_bytes(b"")
    with pytest.raises(OutputError, match=rf"is a file\. Name the output folder of annotate: {tmp_path}\."):
        render(tmp_path / "faces.parquet")


def test_a_person_is_told_what_was_written(
    annotations: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where the page lies and how large it is, and nothing of it with --quiet."""
    page = tmp_path / "page.html"
    for more, lines in (([], 1), (["--quiet"], 0)):
        done = CliRunner().invoke(app, [str(annotations), "-o", str(page), *more])
        assert (done.exit_code, done.output.count(f"wrote {page}, a page of 0.")) == (0, lines), done.output
