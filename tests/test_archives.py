"""Zip and tar archives as roots."""

import io
import logging
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import WORKER, Run, annotate_chunk, annotate_here, assert_same_rows, astronaut, noise, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from batch.errors import RootError
from batch.outcome import Key, Outcome, Setback, Status
from batch.plan import Plan
from batch.roots import image_source, open_root, picture_place
from batch.roots.members import Members, member_path
from batch.roots.tar_members import TarMembers
from batch.roots.walk import WalkSettings
from batch.roots.zip_members import open_zip
from batch.spellings import renamed_paths
from batch.tables.schema import image_rows
from batch.tables.snapshot import KnownImage, known_images
from jobs.annotations import open_annotations

KINDS = ("zip", "tar", "tar.gz")


def pack(folder: Path, archive: Path) -> Path:
    """All files of a folder in an archive, the last ones first, as no file system's order is that of the paths."""
    files = sorted((file for file in folder.rglob("*") if file.is_file()), reverse=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as packed:
            for file in files:
                packed.add(file, f"./{file.relative_to(folder)}")  # as tar -C FOLDER . does
    return archive


def pack_bytes(archive: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return archive


def jpeg(degrees: float = 0) -> bytes:
    buffer = io.BytesIO()
    astronaut().rotate(degrees).save(buffer, "JPEG")
    return buffer.getvalue()


def paths(archive: Path, **settings: object) -> list[str]:
    return [found.key.path for found in open_root(archive).images(WalkSettings(**settings))]


def members(archive: Path) -> Members:
    return open_zip(archive) if archive.suffix == ".zip" else TarMembers(archive)


def statuses(archive: Path) -> dict[str, tuple[Status, str | None]]:
    chunk = list(open_root(archive).images(WalkSettings()))
    return {one.found.key.path: (one.status, one.error) for one in annotate_chunk(chunk, WORKER)}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_rows_as_from_the_folder(kind: str, photos: Path, tmp_path: Path) -> None:
    """An archive is annotated as its folder is, by workers that open it themselves; then there is nothing to do."""
    archive = pack(photos, tmp_path / f"photos.{kind}")
    annotate_here(photos, tmp_path / "folder")
    annotate_here(archive, tmp_path / "archive", jobs=2)
    assert_same_rows(tmp_path / "folder", tmp_path / "archive")
    images, faces = tables(tmp_path / "archive")
    assert set(images["root"]) == set(faces["root"]) == {str(archive)}
    written = (tmp_path / "archive" / "images.parquet").stat()
    assert annotate_here(archive, tmp_path / "archive").images == 0
    assert (tmp_path / "archive" / "images.parquet").stat() == written


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_changed_is_annotated_anew(kind: str, photos: Path, tmp_path: Path) -> None:
    """A member that was replaced is done again, one that is gone loses its rows, the others stay as they are."""
    archive = pack(photos, tmp_path / f"photos.{kind}")
    annotate_here(archive, tmp_path / "out")
    (photos / "astronaut.jpg").write_bytes(jpeg(180))
    shutil.rmtree(photos / "deep" / "er")
    pack(photos, archive)
    assert annotate_here(archive, tmp_path / "out").images == 1
    assert list(tables(tmp_path / "out")[0]["path"]) == ["astronaut.jpg", "deep/broken.jpg", "deep/mirrored.png"]


def test_a_replaced_zip_member_is_noticed_by_its_checksum(tmp_path: Path) -> None:
    """Zip tells time in steps of two seconds; another content of the same size and time is another version."""
    versions = set()
    for content in (b"one", b"two"):
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.writestr(zipfile.ZipInfo("a.jpg", (2024, 5, 6, 7, 8, 10)), content)
        [found] = open_root(tmp_path / "a.zip").images(WalkSettings())
        assert pd.Timestamp(found.modified_ns).floor("s") == pd.Timestamp("2024-05-06 07:08:10")
        versions.add(found[1:])
    assert len(versions) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_listed(kind: str, tmp_path: Path) -> None:
    """Sorted by whole path, chosen by patterns and shard, without hidden files; content counts without a suffix."""
    folder = tmp_path / "folder"
    for name in ("b.JPG", "a/z.png", "a.jpg", "a-b.jpg", "a/b/c.webp", ".h.jpg", ".cache/e.jpg", "__MACOSX/._a.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 20)
    (folder / "scan.dat").write_bytes(jpeg())
    (folder / "notes.txt").write_text("Dear photographs, " * 5)
    archive = pack(folder, tmp_path / f"photos.{kind}")
    found = paths(archive)
    assert found == sorted(found) == ["a-b.jpg", "a.jpg", "a/b/c.webp", "a/z.png", "b.JPG", "scan.dat"]
    assert found == [image.key.path for image in open_root(folder).images(WalkSettings())]
    assert paths(archive, include=("a/*",), exclude=("*.png",)) == ["a/b/c.webp"]
    assert sorted(path for part in (1, 2, 3) for path in paths(archive, shard=(part, 3))) == found


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_names_stay_within(kind: str, tmp_path: Path) -> None:
    """Names that lead out, and absolute ones, are below the archive, as unpacking has them; so are pictures of them."""
    names = [
        "../out.jpg",
        "a/../../out.jpg",
        "/etc/abs.jpg",
        "./dot.jpg",
        "a//b.jpg",
        "caf\udce9.jpg",
        "back\\slash.jpg",
    ]
    if kind == "zip":
        names.remove("caf\udce9.jpg")  # a zip cannot hold it
        archive = pack_bytes(tmp_path / "a.zip", **dict.fromkeys(names, jpeg()))
    else:
        archive = tmp_path / f"a.{kind}"
        with tarfile.open(archive, f"w:{kind[4:]}") as packed:
            for name in names:
                member = tarfile.TarInfo(name)
                member.size = len(jpeg())
                packed.addfile(member, io.BytesIO(jpeg()))
    expected = ["a/b.jpg", "a/out.jpg", "back\\\\slash.jpg", r"caf\xe9.jpg", "dot.jpg", "etc/abs.jpg", "out.jpg"]
    assert [path for path in expected if kind != "zip" or "caf" not in path] == paths(archive)
    for path in paths(archive):
        assert open_root(archive).source(path).open("rb").read() == jpeg()
    assert picture_place(Key(str(archive), "/../../x//../a.jpg")) == archive / "x" / "a.jpg"


def test_links_folders_and_devices_are_no_images(tmp_path: Path) -> None:
    """Of a tar's members only files count, and second names of files; a link into the machine is never followed."""
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        for name, kind, target in [
            ("soft.jpg", tarfile.SYMTYPE, "/etc/passwd"),
            ("folder.jpg", tarfile.DIRTYPE, ""),
            ("device.jpg", tarfile.CHRTYPE, ""),
            ("pipe.jpg", tarfile.FIFOTYPE, ""),
            ("nowhere.jpg", tarfile.LNKTYPE, "/etc/passwd"),
            ("file.jpg", tarfile.REGTYPE, ""),
            ("hard.jpg", tarfile.LNKTYPE, "file.jpg"),
        ]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
            packed.addfile(member, io.BytesIO(b"abc"))
    assert paths(tmp_path / "a.tar") == ["file.jpg", "hard.jpg"]
    assert members(tmp_path / "a.tar").read("hard.jpg") == b"abc"
    link = zipfile.ZipInfo("soft.jpg")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(link, "/etc/passwd")
        packed.writestr("file.jpg", b"abc")
    assert paths(tmp_path / "a.zip") == ["file.jpg"]


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_a_second_name_of_a_hidden_file_is_an_image(kind: str, tmp_path: Path) -> None:
    """As in the folder that was packed: a tar has the file itself under the name that it meets first."""
    folder = tmp_path / "folder"
    for name in (".orig/x.jpg", "y.jpg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(jpeg())
    os.link(folder / ".orig" / "x.jpg", folder / "x.jpg")
    archive = tmp_path / f"a.{kind}"
    with tarfile.open(archive, f"w:{kind[4:]}") as packed:
        packed.add(folder, ".")
    assert paths(archive) == [found.key.path for found in open_root(folder).images(WalkSettings())]
    assert [members(archive).read(path) for path in paths(archive)] == [jpeg()] * 2


def test_corrupt_and_encrypted_members_are_rows(tmp_path: Path) -> None:
    """One damaged member costs itself, with a reason; so do an encrypted one and one in a format that is not read."""
    names = ("corrupt.jpg", "encrypted.jpg", "squeezed.jpg", "strange.jpg", "whole.jpg")
    archive = pack_bytes(tmp_path / "a.zip", **dict.fromkeys(names, jpeg()))
    content = bytearray(archive.read_bytes())
    entries = {name: content.rindex(name.encode()) - 46 for name in names}
    for name, place, value in [("encrypted.jpg", 8, 1), ("squeezed.jpg", 10, 9), ("strange.jpg", 10, 97)]:
        struct.pack_into("<H", content, entries[name] + place, value)
    content[content.index(b"corrupt.jpg") + 3000] ^= 0xFF
    archive.write_bytes(content)
    found = statuses(archive)
    assert found.pop("whole.jpg") == (Status.OK, None)
    assert {status for status, _ in found.values()} == {Status.UNREADABLE}
    assert "damaged" in str(found["corrupt.jpg"])
    assert "password" in str(found["encrypted.jpg"])
    assert "its compression, Deflate64, is not read: unpack" in str(found["squeezed.jpg"])
    assert "its compression, number 97, is not read" in str(found["strange.jpg"])


def test_bombs_are_not_read(tmp_path: Path) -> None:
    """A member that declares more than fits is a row; one that declares less than comes out of it is cut off there."""
    big = pack_bytes(tmp_path / "a.zip", **{"big.jpg": b"abc", "small.jpg": b"\0" * 10_000_000})
    content = bytearray(big.read_bytes())
    struct.pack_into("<I", content, content.rindex(b"big.jpg") - 46 + 24, 2**32 - 2)
    struct.pack_into("<I", content, content.rindex(b"small.jpg") - 46 + 24, 1000)
    big.write_bytes(content)
    found = statuses(big)
    assert found["big.jpg"] == (
        Status.TOO_LARGE,
        f"{2**32 - 2} bytes are more than the {2**29} that are read into memory",
    )
    assert found["small.jpg"][0] is Status.UNREADABLE
    member = tarfile.TarInfo("zeros.jpg")
    member.size = 2**30
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf())
        file.truncate(512 + 2**30 + 1024)  # zeros of which none is on the disk
    assert statuses(tmp_path / "a.tar")["zeros.jpg"][0] is Status.TOO_LARGE


def test_headers_of_a_tar_do_not_eat_memory(tmp_path: Path) -> None:
    """A header that declares to be a gigabyte is damage, not read."""
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 2**30
    with (tmp_path / "a.tar").open("wb") as file:
        file.write(member.tobuf())
        file.truncate(2**30 + 1024)
    with pytest.raises(RootError, match="header of 1073741824 bytes"):
        paths(tmp_path / "a.tar")


def test_a_tar_that_leads_back_ends(tmp_path: Path) -> None:
    """A negative size, which has tarfile read the same header again and again, is damage."""
    first, back = tarfile.TarInfo("a.jpg"), tarfile.TarInfo("b.jpg")
    back.size = -512
    (tmp_path / "a.tar").write_bytes(first.tobuf() + back.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(RootError, match="damaged"):
        paths(tmp_path / "a.tar")


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_off_archive_deletes_nothing(kind: str, photos: Path, tmp_path: Path) -> None:
    """Wherever an archive ends too early, the run ends with a message, --prune or not, and the rows stay."""
    archive = pack(photos, tmp_path / f"photos.{kind}")
    annotate_here(archive, tmp_path / "out")
    before = (tmp_path / "out" / "images.parquet").read_bytes()
    content = archive.read_bytes()
    for length in (0, 100, len(content) // 2, len(content) * 9 // 10):
        archive.write_bytes(content[:length])
        with pytest.raises(RootError, match=f"Cannot read the archive {archive}.*Is it damaged"):
            annotate_here(archive, tmp_path / "out", prune=True)
        assert (tmp_path / "out" / "images.parquet").read_bytes() == before


def test_a_damaged_header_is_not_the_end_of_a_tar(tmp_path: Path) -> None:
    """What tarfile takes for the end, and would cost all members behind it their rows, is damage."""
    with tarfile.open(tmp_path / "a.tar", "w") as packed:
        for name in ("a.jpg", "b.jpg"):
            packed.addfile(tarfile.TarInfo(name))
    content = bytearray((tmp_path / "a.tar").read_bytes())
    content[content.index(b"b.jpg") + 1] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    with tarfile.open(tmp_path / "a.tar") as packed:
        assert packed.getnames() == ["a.jpg"]
    with pytest.raises(RootError, match="no end of archive"):
        paths(tmp_path / "a.tar")


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_joined_archives_are_told(kind: str, photos: Path, tmp_path: Path) -> None:
    """Of two that cat has joined tar shows the first; who names such a file is told. Other bytes behind do no harm."""
    archive = pack(photos, tmp_path / f"a.{kind}")
    whole = archive.read_bytes()
    archive.write_bytes(2 * whole)
    with pytest.raises(RootError, match=r"another archive is joined to it at byte \d+\. Unpack them"):
        open_root(archive).prepare()
    for behind in (b"\n", b"garbage" * 1000):
        archive.write_bytes(whole + behind)
        assert len(list(open_root(archive).images(WalkSettings()))) > 3


@pytest.mark.parametrize("lost", [1, 9])
def test_a_tar_is_read_to_where_gzip_has_its_checksum(lost: int, photos: Path, tmp_path: Path) -> None:
    """Without it nobody knows whether the members are those that were packed; nor if another one stands there."""
    archive = pack(photos, tmp_path / "photos.tar.gz")
    content = archive.read_bytes()
    for damaged in (content[:-lost], content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]):
        archive.write_bytes(damaged)
        with pytest.raises(
            RootError, match=f"Cannot read the archive {archive}.*Is it damaged, or not copied to its end"
        ):
            open_root(archive).prepare()


def test_names_in_a_dump_of_gnu_tar_are_those_that_it_shows(photos: Path, tmp_path: Path) -> None:
    """An incremental dump has times where other tars have the start of long names."""
    dump = ["tar", "cf", tmp_path / "dump.tar", f"--listed-incremental={tmp_path / 'snapshot'}", "-C", photos, "."]
    subprocess.run(dump, check=True)
    found = [image.key.path for image in open_root(photos).images(WalkSettings())]
    assert paths(tmp_path / "dump.tar") == found


def test_what_is_no_archive(tmp_path: Path, photos: Path, command: Run) -> None:
    """Missing, foreign and otherwise compressed files end the run with exit code 5 and the fix."""
    (tmp_path / "foreign.zip").write_bytes(jpeg())
    (tmp_path / "foreign.tgz").write_bytes(jpeg())
    with tarfile.open(tmp_path / "photos.tar.xz", "w:xz") as packed:
        packed.add(photos, "photos")
    for name, said in [
        ("missing.zip", "No such file"),
        ("foreign.zip", "not a zip file"),
        ("foreign.tgz", "Is it damaged"),
        ("photos.tar.xz", "Unpack it"),
    ]:
        with pytest.raises(RootError, match=said):
            annotate_here(tmp_path / name, tmp_path / "out")
    done = command(tmp_path / "foreign.zip", "-o", tmp_path / "out")
    assert (done.returncode, "not a zip file" in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipe_or_a_device_is_no_archive(kind: str, tmp_path: Path, command: Run) -> None:
    """Whatever it is called it is exit code 5 at once: a pipe is not waited for, and a device not read."""
    os.mkfifo(tmp_path / f"pipe.{kind}")
    (tmp_path / f"device.{kind}").symlink_to(os.devnull)
    for name in ("pipe", "device"):
        done = command(tmp_path / f"{name}.{kind}", "-o", tmp_path / "out", "--store-timeout", "10")
        assert (done.returncode, f"{name}.{kind}: it is a pipe or a device" in done.stderr) == (5, True), done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_an_emptied_archive_deletes_nothing(kind: str, tmp_path: Path) -> None:
    """Empty, or without images where there were some, stops the run, unless --prune."""
    (tmp_path / "empty").mkdir()
    archive = pack(tmp_path / "empty", tmp_path / f"a.{kind}")
    key = Key(str(archive), "a.jpg")

    def plan(**settings: bool) -> Plan:
        made = Plan((archive,), WalkSettings(), [KnownImage(*key, 1, 1, False)], frozenset({key.root}), **settings)
        list(made)
        return made

    with pytest.raises(RootError, match="--prune"):
        plan()
    assert plan(prune=True).deleted == [key]
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    pack(tmp_path / "empty", archive)
    with pytest.raises(RootError, match="--prune"):
        plan()


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_vanishes_or_is_replaced_under_the_run(kind: str, photos: Path, tmp_path: Path) -> None:
    """Gone, it ends the run; of another one in its place no member is a row, be it missing or of the same name."""
    archive = pack(photos, tmp_path / f"photos.{kind}")
    chunk = list(open_root(archive).images(WalkSettings()))
    before = annotate_chunk(chunk, WORKER)
    assert {one.status for one in before if isinstance(one, Outcome)} >= {Status.OK}
    first = next(one for one in chunk if one.key.path == "astronaut.jpg")
    (photos / "astronaut.jpg").unlink()
    Image.new("L", (64, 48)).save(photos / "deep" / "mirrored.png")
    keep = archive.rename(tmp_path / "keep")
    pack(photos, tmp_path / f"new.{kind}").replace(archive)
    for found, now in zip(chunk, annotate_chunk(chunk, WORKER), strict=True):
        replaced = found.key.path in (first.key.path, "deep/mirrored.png")
        assert isinstance(now, Setback) == replaced
        assert not replaced or "has been replaced since it was listed" in now.reason
    keep.replace(archive)
    assert [one.found for one in annotate_chunk(chunk, WORKER)] == [one.found for one in before]
    archive.unlink()
    with pytest.raises(RootError, match="No such file"):
        annotate_chunk(chunk, WORKER)


def test_a_folder_in_the_place_of_an_archive_for_a_while(photos: Path, tmp_path: Path) -> None:
    """The rows of what a worker found there, or did not, are no last word: the next run does these images."""
    archive = pack(photos, tmp_path / "photos.zip")
    annotate_here(archive, tmp_path / "right")
    chunk = list(open_root(archive).images(WalkSettings()))
    archive.rename(tmp_path / "keep")
    shutil.copytree(photos, archive)
    for file in [file for file in archive.rglob("*") if file.is_file()]:
        os.utime(file, (0, 0))
    (archive / "astronaut.jpg").unlink()
    wrong = annotate_chunk(chunk, WORKER)
    assert "vanished" in str(next(one for one in wrong if one.found.key.path == "astronaut.jpg").error)
    pq.write_table(image_rows(wrong), tmp_path / "images")
    shutil.rmtree(archive)
    (tmp_path / "keep").rename(archive)
    assert list(Plan((archive,), WalkSettings(), known_images([tmp_path / "images"]))) == chunk


def test_crops_copies_and_report_of_an_archive(photos: Path, tmp_path: Path) -> None:
    """Pictures are filed by the paths within, beside those of a folder of another name; the report shows the faces."""
    from jobs.report_page.page import render

    archive, other = pack(photos, tmp_path / "photos.tar.gz"), tmp_path / "other"
    other.mkdir()
    astronaut().save(other / "astronaut.jpg")
    pictures = {"crops": tmp_path / "crops", "draw": tmp_path / "drawn"}
    annotate_here(archive, tmp_path / "out", roots=(archive, other), **pictures)
    images, faces = tables(tmp_path / "out")
    drawn = {str(file.relative_to(tmp_path / "drawn")) for file in (tmp_path / "drawn").rglob("*.*") if file.is_file()}
    readable = images[images["status"] != "unreadable"]
    assert drawn == {f"{Path(root).name}/{path}" for root, path in zip(readable["root"], readable["path"], strict=True)}
    assert Image.open(tmp_path / "drawn" / archive.name / "deep" / "mirrored.png").size == (512, 512)
    assert len(list((tmp_path / "crops").rglob("*.png"))) == len(faces) >= 3
    assert render(tmp_path / "out").count("<img src") == len(faces) - 1  # copies of one face are shown once
    archive.unlink()
    page = render(tmp_path / "out")
    assert (page.count("<img src"), page.count("not there any more")) == (1, len(faces) - 1)


def test_a_folder_called_like_an_archive_and_one_beside_its_archive(photos: Path, tmp_path: Path, command: Run) -> None:
    """The name alone makes no archive; a folder and an archive within it do not overlap, as a walk does not open it."""
    folder = photos.rename(tmp_path / "photos.zip")
    archive = pack_bytes(folder / "more.zip", **{"a.jpg": jpeg()})
    done = command(folder, archive, "-o", tmp_path / "out", "--dry-run")
    assert (done.returncode, "5 images found, 5 new" in done.stderr) == (0, True), done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_random_damage_is_a_root_error_or_rows(kind: str, tmp_path: Path) -> None:
    """Whatever byte is wrong, an archive is refused, or listed and each member read or refused by itself."""
    (tmp_path / "photos").mkdir()
    for seed in range(3):
        noise(seed).save(tmp_path / "photos" / f"{seed}.png")
    content = pack(tmp_path / "photos", tmp_path / f"photos.{kind}").read_bytes()
    damaged = tmp_path / f"damaged.{kind}"
    refused, rows = 0, 0
    for seed in range(150):
        wrong = bytearray(content)
        spot = int(np.random.default_rng(seed).integers(min(len(content), 1500)))
        wrong[-1 - spot % 170 if seed % 2 and kind == "zip" else spot] ^= 1 << seed % 8  # a zip's table is at its end
        damaged.unlink(missing_ok=True)
        damaged.write_bytes(wrong)
        try:
            found = list(open_root(damaged).images(WalkSettings()))
        except RootError:
            refused += 1
            continue
        rows += len(annotate_chunk(found, WORKER))
    assert refused and (rows or kind == "tar.gz")  # of which one bit is enough


def test_names_are_utf_8_if_they_are_so(tmp_path: Path) -> None:
    """Debian's zip writes UTF-8 without saying so; what is no UTF-8 is code page 437, as ever."""
    archive = tmp_path / "names.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("AAAAAA.jpg", b"1")
        packed.writestr("B.jpg", b"2")
        packed.writestr("é.jpg", b"3")  # of which Python says that it is UTF-8
    raw = archive.read_bytes().replace(b"AAAAAA", "üöß".encode()).replace(b"B.jpg", "ü.jpg".encode("cp437"))
    archive.write_bytes(raw)
    opened = open_zip(archive)
    assert {*opened.paths} == {"üöß.jpg", "ü.jpg", "é.jpg"}
    assert [opened.read(path) for path in ("üöß.jpg", "ü.jpg", "é.jpg")] == [b"1", b"2", b"3"]


def pack_raw(archive: Path, names: dict[bytes, bytes], extra: bytes = b"", flags: int = 0) -> Path:
    """A zip of these names as they are, which do not say how they are spelled unless ``flags`` do."""
    members, contents = b"", b""
    for name, content in names.items():
        sizes = zlib.crc32(content), len(content), len(content), len(name), len(extra)
        facts = struct.pack("<HHHHHIIIHH", 20, flags, zipfile.ZIP_STORED, 0x38E5, 0x58A6, *sizes)
        contents += b"PK\1\2" + bytes(2) + facts + struct.pack("<HHHII", 0, 0, 0, 0, len(members)) + name + extra
        members += b"PK\3\4" + facts + name + extra + content
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(names), len(names), len(contents), len(members), 0)
    archive.write_bytes(members + contents + end)
    return archive


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("shift_jis", "ソ写真/表.jpg"), ("cp1252", "Grüße €/Ä.jpg"), ("cp866", "Фото/Я.jpg"), ("gbk", "照片.jpg")],
)
def test_names_in_another_encoding(encoding: str, name: str, tmp_path: Path) -> None:
    """Names that neither say that they are UTF-8 nor are it are in --zip-encoding; others are what they are."""
    archive = pack_raw(tmp_path / "a.zip", {name.encode(encoding): b"1", "ü.jpg".encode(): b"22", b"a.jpg": b"333"})
    found = {one.key.path: one for one in open_root(archive).images(WalkSettings(zip_encoding=encoding))}
    assert {*found} == {name, "ü.jpg", "a.jpg"}
    assert [image_source(one.key, one[1:]).open("rb").read() for one in found.values()]
    for one in found.values():  # whoever reads knows nothing of the encoding
        assert len(image_source(one.key, one[1:]).open("rb").read()) == one.size_bytes


def test_a_name_that_is_not_the_utf_8_that_it_says(tmp_path: Path) -> None:
    """Which of the names is wrong is told, and a way out; the archive is not called damaged."""
    says_utf_8 = 0x800
    archive = pack_raw(tmp_path / "a.zip", {b"a.jpg": b"1", b"\x81.jpg": b"2"}, flags=says_utf_8)
    with pytest.raises(RootError, match=r"says that it is UTF-8 and is not \(b'\\x81.jpg'\)\. Unpack it") as raised:
        open_root(archive).images(WalkSettings())
    assert "damaged" not in str(raised.value)


odd_names = st.lists(st.binary(min_size=1, max_size=12).filter(lambda name: b"\0" not in name), max_size=5)


def test_any_name_survives(tmp_path: Path) -> None:
    """Odd bytes, backslashes and all else are valid UTF-8 in the tables, stay apart, and lead back to the member."""

    @settings(deadline=None, max_examples=150)
    @given(odd_names, st.sampled_from(["utf-8", "shift_jis", "cp1252", "cp437"]))
    def check(names: list[bytes], encoding: str) -> None:
        content = {b"a" + name + b".jpg": b"%d" % number for number, name in enumerate(names)}
        expected = {path: content[name] for name in content if (path := member_path(os.fsdecode(name)))}
        for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            with tarfile.open(tmp_path / "a.tar", "w", format=kind) as packed:
                for name, bytes_ in content.items():
                    member = tarfile.TarInfo(os.fsdecode(name))
                    member.size = len(bytes_)
                    packed.addfile(member, io.BytesIO(bytes_))
            assert read(tmp_path / "a.tar") == expected
        found = read(pack_raw(tmp_path / "a.zip", content), encoding)
        assert {*found.values()} <= {*content.values()}
        assert found == expected or encoding != "utf-8"  # by which a name is what that of a file is

    check()


def read(archive: Path, encoding: str = "cp437") -> dict[str, bytes]:
    """The images by their paths, each opened by who knows the row alone."""
    found = list(open_root(archive).images(WalkSettings(zip_encoding=encoding)))
    assert all(one.key.path.encode("utf-8") for one in found)
    return {one.key.path: image_source(one.key, one[1:]).open("rb").read() for one in found}


def test_a_name_stands_beside_itself_as_utf_8(tmp_path: Path) -> None:
    """As WinRAR and others write it, with a checksum of the name that it is of; with another one it is of no use."""
    for checksum, path in ((zlib.crc32(b"\xe9.jpg"), "ü.jpg"), (0, "é.jpg")):
        field = struct.pack("<BL", 1, checksum) + "ü.jpg".encode()
        extra = struct.pack("<HH", 0x7075, len(field)) + field
        archive = pack_raw(tmp_path / f"{checksum}.zip", {b"\xe9.jpg": b"1"}, extra)
        assert paths(archive, zip_encoding="cp1252") == [path]


def test_rows_follow_names_that_are_spelled_in_another_way(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Annotated without --zip-encoding, images have their rows under their right names once it is given, and back."""
    names = ("Äpfel.jpg", "Grüße/ü.jpg", "plain.jpg")
    archive = pack_raw(tmp_path / "a.zip", {name.encode("cp1252"): jpeg(turn) for turn, name in enumerate(names)})
    (tmp_path / "b").mkdir()
    noise(1).save(tmp_path / "b" / "b.png")
    roots, right = {"roots": (archive, tmp_path / "b")}, {"walk": WalkSettings(zip_encoding="cp1252")}
    annotate_here(archive, tmp_path / "right", **roots, **right, jobs=1, draw=tmp_path / "drawn")
    assert all((tmp_path / "drawn" / "a.zip" / name).is_file() for name in names)
    assert len(open_annotations(tmp_path / "right").crops()) == 3
    annotate_here(archive, tmp_path / "out", **roots)
    as_cp437 = tables(tmp_path / "out")
    assert [*as_cp437[0]["path"]][:3] == sorted(name.encode("cp1252").decode("cp437") for name in names)
    caplog.set_level(logging.INFO)
    for encoding, expected in (("cp1252", tables(tmp_path / "right")), ("cp437", as_cp437)):
        for followed in ("the rows of 2 images follow", "nothing new"):
            caplog.clear()
            walk = WalkSettings(zip_encoding=encoding)
            assert annotate_here(archive, tmp_path / "out", **roots, walk=walk).images == 0
            assert followed in caplog.text
            for one, other in zip(tables(tmp_path / "out"), expected, strict=True):
                pd.testing.assert_frame_equal(one, other)


def test_only_what_is_the_same_follows() -> None:
    """A row follows to a name without one, of the same size, time and checksum; not one that is to be done anew."""

    def known(path: str, version: int, stale: bool = False) -> KnownImage:
        return KnownImage("/a.zip", path, version, 7, failed=False, stale=stale)

    guessed = {path: (version, 7) for version, path in enumerate(("ä", "é", "ï", "ö", "ü", "ü2"))}
    here = [
        *(known("─", 0), known("\\x82", 9), known("n.jpg", 2), known("╓", 3), known("ö", 8, stale=True)),
        *(known("ⁿ", 4, stale=True), known("ß", 5)),
    ]
    assert renamed_paths(here, guessed) == {"─": "ä", "ß": "ü2"}
    assert renamed_paths([known("ä", 0), known("b\\x84", 1)], guessed) == {"b\\x84": "é"}
    alike = [known("ß", 6), known("─", 6)]
    assert renamed_paths(alike, {"ä": (6, 7), "é": (6, 7)}) == {"ß": "ä", "─": "é"}, "those that are alike in order"


def test_archives_within_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are not opened: the log says how many there are and which is the first, unless --exclude leaves them out."""
    (tmp_path / "photos" / "more").mkdir(parents=True)
    noise(1).save(tmp_path / "photos" / "a.png")
    for name in ("more/b.zip", "more/c.tar.gz", "d.7z", "e.txt"):
        (tmp_path / "photos" / name).write_bytes(b"PK")
    for kind in ("zip", "tar"):
        archive = pack(tmp_path / "photos", tmp_path / f"photos.{kind}")
        annotate_here(archive, tmp_path / kind)
        assert f"{archive} holds 3 archives, not opened, the first is d.7z. Unpack what is wanted" in caplog.text
        caplog.clear()
        annotate_here(archive, tmp_path / kind, walk=WalkSettings(exclude=("*.zip", "*.tar.gz", "*.7z")))
        assert "archives" not in caplog.text


def test_parts_of_a_zip_are_told(photos: Path, tmp_path: Path) -> None:
    """Each part of one that is cut into several ends the run with how to join them; joined so, they are read."""
    zips = tmp_path / "zips"
    zips.mkdir()
    whole = pack(photos, zips / "whole.zip")
    expected = paths(whole)
    content = whole.read_bytes()
    for number in range(3):
        (zips / f"a.zip.{number + 1:03d}").write_bytes(content[number * 50_000 :][: 10**9 if number == 2 else 50_000])
    end = content.rindex(b"PK\5\6")
    (zips / "b.zip").write_bytes(content[: end + 4] + struct.pack("<HH", 2, 2) + content[end + 8 :])
    (zips / "b.z01").write_bytes(b"PK\7\x08" + content[:1000])
    for name in ("a.zip.001", "a.zip.003", "b.zip", "b.z01"):
        with pytest.raises(
            RootError, match=r"one part of a zip that is cut into several.*by (cat a\.zip\.\*|zip -s 0 b)"
        ):
            paths(zips / name)
    whole.unlink()
    subprocess.run(["sh", "-c", "cat a.zip.* > whole.zip"], cwd=zips, check=True)
    assert paths(whole) == expected
    if not shutil.which("zip"):
        pytest.skip("zip is not installed")
    subprocess.run(["zip", "-q", "-r", "-s", "64k", zips / "c.zip", "."], cwd=photos, check=True)
    for part in ("c.zip", "c.z01", "c.z02"):
        with pytest.raises(RootError, match=r"zip -s 0 c\.zip --out whole\.zip"):
            paths(zips / part)
    whole.unlink()
    subprocess.run(["zip", "-q", "-s", "0", "c.zip", "--out", "whole.zip"], cwd=zips, check=True)
    assert paths(whole) == expected
