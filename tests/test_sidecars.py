"""XMP sidecars, as photo managers read them."""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade_tables import outcome, photograph, write_tables
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from typer.testing import CliRunner, Result

from batch.roots import open_root
from batch.roots.walk import WalkSettings
from jobs.export import app
from jobs.exports.regions import Area
from jobs.exports.xml_text import XmlError
from jobs.exports.xmp import Region, with_regions

EXIFTOOL = shutil.which("exiftool")
needs_exiftool = pytest.mark.skipif(EXIFTOOL is None, reason="no ExifTool (Debian: libimage-exiftool-perl)")
JOY = Region(Area(0.5, 0.25, 0.1, 0.2), "joy", 0.93)
BOX = (30, 10, 40, 20)


def export(*arguments: object) -> Result:
    done = CliRunner().invoke(app, [*map(str, arguments), "--format", "xmp"])
    assert done.exit_code in (0, 2, 5), done.output
    return done


def read(sidecar: Path) -> dict[str, Any]:
    done = subprocess.run([str(EXIFTOOL), "-struct", "-j", "-n", sidecar], capture_output=True, check=True)
    assert b"Warning" not in done.stdout + done.stderr
    return dict(json.loads(done.stdout)[0])


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a photograph of 160 x 120 pixels, at some depth."""
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    image, exif = photograph((160, 120))
    image.save(tmp_path / "photos" / "deep" / "a.jpg", exif=exif)
    return tmp_path / "photos"


@needs_exiftool
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_lie_on_the_face_in_the_stored_image(orientation: int, tmp_path: Path) -> None:
    """ExifTool reads a region that is the face's box once the stored image is turned upright, in each orientation."""
    image, exif = photograph((160, 120), orientation)
    (tmp_path / "photos").mkdir()
    image.save(tmp_path / "photos" / "a.jpg", exif=exif)
    write_tables(tmp_path / "out", outcome(tmp_path / "photos", "a.jpg", {BOX: "joy"}))
    export(tmp_path / "out", "-o", tmp_path / "xmp")
    regions = read(tmp_path / "xmp" / "a.jpg.xmp")["RegionInfo"]
    assert regions["AppliedToDimensions"] == {"W": 160, "H": 120, "Unit": "pixel"}
    (region,) = regions["RegionList"]
    assert region["Type"] == "Face" and region["Area"]["Unit"] == "normalized"
    x, y, w, h = (region["Area"][name] * side for name, side in zip("XYWH", (160, 120, 160, 120), strict=True))
    stored = np.zeros((120, 160), np.uint8)
    stored[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)] = 255
    marked = Image.fromarray(stored)
    marked.getexif()[0x0112] = orientation
    left, top, right, bottom = ImageOps.exif_transpose(marked).getbbox() or ()
    assert (left, top, right - left, bottom - top) == BOX


@needs_exiftool
def test_keywords_in_the_ways_of_lightroom_and_digikam(photos: Path, tmp_path: Path) -> None:
    """Each emotion above the threshold is a keyword once, in three lists; the region carries emotion and confidence."""
    faces = {BOX: "joy", (90, 30, 40, 40): "joy", (60, 60, 20, 20): "fear"}
    write_tables(tmp_path / "out", outcome(photos, "deep/a.jpg", faces))
    export(tmp_path / "out", "-o", tmp_path / "xmp")
    tags = read(tmp_path / "xmp" / "deep" / "a.jpg.xmp")
    assert tags["Subject"] == tags["HierarchicalSubject"] == ["Expression|fear", "Expression|joy"]
    assert tags["TagsList"] == ["Expression/fear", "Expression/joy"]
    assert [region["Description"] for region in tags["RegionInfo"]["RegionList"]] == [
        "joy 0.90",
        "joy 0.90",
        "fear 0.90",
    ]
    assert not any("Name" in region for region in tags["RegionInfo"]["RegionList"])
    assert tags["RegionInfo"]["RegionList"][0]["Extensions"] == {
        "XMP-emotion:Emotion": "joy",
        "XMP-emotion:Confidence": 0.9,
    }


def test_faces_below_the_threshold_are_left_out(photos: Path, tmp_path: Path) -> None:
    """A face less sure than --min-confidence, 0.5 unless said otherwise, is no region; without any there is no file."""
    for name in "bc":
        shutil.copy(photos / "deep" / "a.jpg", photos / "deep" / f"{name}.jpg")
    unsure = outcome(photos, "deep/a.jpg", {BOX: "joy"}, confidence=0.45)
    write_tables(tmp_path / "out", unsure, *(outcome(photos, f"deep/{name}.jpg", {}) for name in "bc"))
    done = export(tmp_path / "out", "-o", tmp_path / "xmp")
    assert not (tmp_path / "xmp").exists()
    assert "2 without faces" in done.stderr and "1 with less sure faces alone (--min-confidence)" in done.stderr
    export(tmp_path / "out", "-o", tmp_path / "xmp", "--min-confidence", 0.4)
    assert "Expression|joy" in (tmp_path / "xmp" / "deep" / "a.jpg.xmp").read_text("utf-8")


LIGHTROOM = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 5.6">
 <!-- a note -->
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="uuid:1" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"
    xmp:Label="two&#xA;lines &amp;" xmlns:d="http://purl.org/dc/elements/1.1/"
    xmlns:dc="urn:not-dublin-core/" dc:odd="1">
   <d:subject><r:Bag><r:li>garden</r:li></r:Bag></d:subject>
   <d:title><r:Alt><r:li xml:lang="x-default">A &lt;title&gt;</r:li></r:Alt></d:title>
  </r:Description>
  <r:Description r:about="uuid:1" xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/"
    xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#">
   <mwg-rs:Regions><r:Description>
     <mwg-rs:AppliedToDimensions stDim:w="160" stDim:h="120" stDim:unit="pixel"/>
     <mwg-rs:RegionList><r:Seq>
       <r:li><r:Description mwg-rs:Name="Anna" mwg-rs:Type="Face">
         <mwg-rs:Area stArea:x="0.1" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1" stArea:unit="normalized"/>
       </r:Description></r:li>
     </r:Seq></mwg-rs:RegionList>
   </r:Description></mwg-rs:Regions>
  </r:Description>
 </r:RDF>
</x:xmpmeta>
<?xpacket end="w"?>
"""
"""The forms that differ from ours: other prefixes, one of ours bound to something else, structures as descriptions."""


@needs_exiftool
def test_everything_of_others_stays(photos: Path, tmp_path: Path) -> None:
    """Written into a sidecar that is there, a region and its keywords come to what others have written."""
    sidecar = photos / "deep" / "a.jpg.xmp"
    sidecar.write_text(LIGHTROOM, "utf-8")
    before = read(sidecar)
    write_tables(tmp_path / "out", outcome(photos, "deep/a.jpg", {BOX: "joy"}))
    export(tmp_path / "out", "--in-place")
    tags = read(sidecar)
    assert (tags["Rating"], tags["Label"], tags["Title"], tags["Odd"]) == (4, "two\nlines &", "A <title>", 1)
    assert tags["Subject"] == ["garden", "Expression|joy"]
    anna, ours = tags["RegionInfo"]["RegionList"]
    assert anna == before["RegionInfo"]["RegionList"][0] and ours["Description"] == "joy 0.90"
    assert "<!-- a note -->" in sidecar.read_text("utf-8") and "<?xpacket end" in sidecar.read_text("utf-8")
    write_tables(tmp_path / "none", outcome(photos, "deep/a.jpg", {}))
    export(tmp_path / "none", "--in-place")
    volatile = ("FileModifyDate", "FileAccessDate", "FileInodeChangeDate", "FileSize")
    after = read(sidecar)
    assert {k: v for k, v in after.items() if k not in volatile} == {
        k: v for k, v in before.items() if k not in volatile
    }


@pytest.mark.parametrize(
    "packet", [None, LIGHTROOM.encode(), LIGHTROOM.encode("utf-16")], ids=["none", "utf-8", "utf-16"]
)
def test_ours_is_replaced_by_the_next_run(packet: bytes | None) -> None:
    """Other faces take the place of our last ones, and the same ones change no byte."""
    first = with_regions(packet, [JOY], (160, 120))
    assert with_regions(first, [JOY], (160, 120)) == first
    fear = Region(Area(0.2, 0.2, 0.1, 0.1), "fear", 0.8)
    other = with_regions(first, [fear], (160, 120))
    assert b"joy" not in other and other.count(b"Expression|fear") == 2
    assert with_regions(other, [JOY], (160, 120)) == first
    assert with_regions(with_regions(first, [], (0, 0)), [JOY], (160, 120)) == first


def test_a_keyword_and_a_name_of_a_person_stay() -> None:
    """A keyword of the same family that somebody has written stays, and so does a face that was given a name."""
    first = with_regions(None, [JOY], (160, 120))
    wink = first.replace(
        b"<rdf:li>Expression|joy</rdf:li>", b"<rdf:li>Expression|wink</rdf:li><rdf:li>Expression|joy</rdf:li>"
    )
    named = wink.replace(b"<mwg-rs:Type>", b"<mwg-rs:Name>Anna</mwg-rs:Name><mwg-rs:Type>")
    emptied = with_regions(named, [], (0, 0))
    assert emptied.count(b"Expression|wink") == 2 and b"Anna" in emptied and b"Expression|joy" not in emptied


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]><x>&i;</x>"
)
HOSTILE = {
    "bomb": BOMB.encode(),
    "another file": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>',
    "deep": b"<a>" * 100_000 + b"</a>" * 100_000,
    "cut off": LIGHTROOM.encode()[:900],
    "no XML": b"\xff\xd8\xff\xe0 a photograph",
    "empty": b"",
    "not XMP": b"<html/>",
    "an encoding that nobody knows": b'<?xml version="1.0" encoding="klingon"?><x/>',
    "keywords that are no list": LIGHTROOM.replace("r:Bag>", "r:Bog>").encode(),
    "regions without anything": b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description>'
    b'<m:Regions xmlns:m="http://www.metadataworkinggroup.com/schemas/regions/"/></r:Description></r:RDF>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_sidecars_that_cannot_be_merged_are_left_alone(name: str, photos: Path, tmp_path: Path) -> None:
    """Damaged and hostile sidecars stay as they are, are named in a warning, and cost nobody else anything."""
    image, exif = photograph((160, 120))
    image.save(photos / "b.jpg", exif=exif)
    sidecar = photos / "deep" / "a.jpg.xmp"
    sidecar.write_bytes(HOSTILE[name])
    write_tables(tmp_path / "out", *(outcome(photos, path, {BOX: "joy"}) for path in ("b.jpg", "deep/a.jpg")))
    done = export(tmp_path / "out", "--in-place")
    assert done.exit_code == 0
    assert sidecar.read_bytes() == HOSTILE[name]
    assert f"left as it is: {sidecar}" in done.stderr
    assert (photos / "b.jpg.xmp").exists()


damage = st.tuples(st.integers(0, len(LIGHTROOM)), st.integers(0, 40), st.binary(max_size=12))


@example([(0, 0, b"")])
@settings(deadline=None, max_examples=300)
@given(st.lists(damage, max_size=4))
def test_any_damage_is_an_error_or_is_merged(changes: list[tuple[int, int, bytes]]) -> None:
    """Whatever has happened to a sidecar: it is merged into XML that can be merged again, or refused."""
    packet = LIGHTROOM.encode()
    for at, length, new in changes:
        packet = packet[:at] + new + packet[at + length :]
    try:
        merged = with_regions(packet, [JOY], (160, 120))
    except XmlError:
        return
    assert with_regions(merged, [JOY], (160, 120)) == merged


def test_nothing_is_written_among_the_photographs_unasked(photos: Path, tmp_path: Path) -> None:
    """A folder within a root is refused, and --in-place goes with folders only."""
    write_tables(tmp_path / "out", outcome(photos, "deep/a.jpg", {BOX: "joy"}))
    done = export(tmp_path / "out", "-o", photos / "deep")
    assert done.exit_code == 5 and "among the photographs" in done.stderr
    assert export(tmp_path / "out", "-o", tmp_path / "xmp", "--in-place").exit_code == 2
    assert [file.name for file in photos.rglob("*.xmp")] == []


def test_photographs_that_are_another_one_now(photos: Path, tmp_path: Path) -> None:
    """A photograph that was replaced since, or has gone, gets no sidecar, and an unmounted disk ends the command."""
    write_tables(tmp_path / "out", outcome(photos, "deep/a.jpg", {BOX: "joy"}))
    image, exif = photograph((160, 120), orientation=6)
    image.save(photos / "deep" / "a.jpg", exif=exif)
    assert "run annotate again" in export(tmp_path / "out", "-o", tmp_path / "xmp").stderr
    (photos / "deep" / "a.jpg").unlink()
    assert "vanished" in export(tmp_path / "out", "-o", tmp_path / "xmp").stderr
    assert not (tmp_path / "xmp").exists()
    shutil.rmtree(photos)
    assert export(tmp_path / "out", "-o", tmp_path / "xmp").exit_code == 5


def test_a_second_run_touches_no_file(photos: Path, tmp_path: Path) -> None:
    """A sidecar that is as it should be keeps its time, so that no photo manager reads it anew."""
    write_tables(tmp_path / "out", outcome(photos, "deep/a.jpg", {BOX: "joy"}))
    sidecar = photos / "deep" / "a.jpg.xmp"
    export(tmp_path / "out", "--in-place")
    os.utime(sidecar, ns=(1, 1))
    assert "1 unchanged" in export(tmp_path / "out", "--in-place").stderr
    assert sidecar.stat().st_mtime_ns == 1
    assert sorted(file.name for file in sidecar.parent.iterdir()) == ["a.jpg", "a.jpg.xmp"]


def test_photographs_in_archives(photos: Path, tmp_path: Path) -> None:
    """Of an archive the orientation is read from its members, and in place is no place."""
    image, exif = photograph((160, 120), orientation=6)
    image.save(photos / "deep" / "a.jpg", exif=exif)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "deep" / "a.jpg", "deep/a.jpg")
    found = outcome(photos, "deep/a.jpg", {BOX: "joy"})
    [member] = open_root(tmp_path / "a.zip").images(WalkSettings())
    write_tables(tmp_path / "out", replace(found, found=member))
    export(tmp_path / "out", "-o", tmp_path / "xmp")
    assert 'stDim:w="160" stDim:h="120"' in (tmp_path / "xmp" / "deep" / "a.jpg.xmp").read_text("utf-8")
    assert export(tmp_path / "out", "--in-place").exit_code == 5
    (tmp_path / "xmp" / "deep" / "a.jpg.xmp").unlink()
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("deep/a.jpg", (photos / "deep" / "a.jpg").read_bytes() + b" ")
    done = export(tmp_path / "out", "-o", tmp_path / "xmp")
    assert (done.exit_code, "1 photographs not read" in done.output) == (0, True), done.output
    assert "the archive has been replaced" in done.output


def test_a_photograph_with_a_long_name_costs_its_sidecar_alone(photos: Path, tmp_path: Path) -> None:
    """Also where the folder of the sidecars is there already."""
    long = f"deep/{'a' * 251}.jpg"
    shutil.copy(photos / "deep" / "a.jpg", photos / long)
    write_tables(tmp_path / "out", *(outcome(photos, path, {BOX: "joy"}) for path in ("deep/a.jpg", long)))
    for how in (("-o", tmp_path / "xmp"), ("-o", tmp_path / "xmp"), ("--in-place",)):
        done = export(tmp_path / "out", *how)
        assert (done.exit_code, "1 with names that no sidecar" in done.output) == (0, True), done.output
    assert (photos / "deep" / "a.jpg.xmp").exists()


def test_a_photograph_in_too_many_folders_costs_its_sidecar_alone(photos: Path, tmp_path: Path) -> None:
    """As it may lie in an archive, it is told of, and the others have theirs."""
    deep = f"{'a/' * 1500}a.jpg"
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(photos / "deep" / "a.jpg", deep)
    packed = outcome(photos, "deep/a.jpg", {BOX: "joy"})
    [member] = open_root(tmp_path / "a.zip").images(WalkSettings())
    write_tables(tmp_path / "out", packed, replace(packed, found=member))
    done = export(tmp_path / "out", "-o", tmp_path / "xmp")
    assert (done.exit_code, "1 written" in done.output, "1 with names" in done.output) == (0, True, True), done.output
    assert len(list((tmp_path / "xmp").rglob("a.jpg.xmp"))) == 1
