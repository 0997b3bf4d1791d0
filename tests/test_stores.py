"""An object store as root: a real S3 server on this machine; ``test_emulated_stores.py`` has gs:// and az://."""

import io
import logging
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5
from pathlib import Path
from typing import Any

import boto3
import pytest
from conftest import WORKER, Run, annotate_chunk, annotate_here, assert_same_rows, astronaut, environment, noise, tables
from moto.moto_server.utilities import RegexConverter
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from batch.errors import RootError
from batch.outcome import ImageFile, Key, Setback, Status
from batch.roots import open_root, typed_root
from batch.roots.store_client import are_its_bytes, store_client
from batch.roots.walk import WalkSettings
from batch.workers.fetching import forget_outages

BUCKET = "photos"
URL = f"s3://{BUCKET}/album"


route = RegexConverter.__init__


def with_line_ends(converter: RegexConverter, *arguments: Any) -> None:
    """Let a key have more than one line, as S3 does and moto's routes do not."""
    route(converter, *arguments)
    converter.regex = f"(?s:{converter.regex})"


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadedMotoServer]:
    """An S3 server, and an environment that leads to it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    started = ThreadedMotoServer("127.0.0.1", 0)
    started.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RegexConverter, "__init__", with_line_ends)
        patch.setenv("AWS_ENDPOINT_URL", "http://{}:{}".format(*started.get_host_and_port()))
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        S3FileSystem.clear_instance_cache()
        yield started
    started.stop()
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def client(server: ThreadedMotoServer) -> Iterator[Any]:
    """A client of the server, with an empty bucket."""
    made = boto3.client("s3")
    made.create_bucket(Bucket=BUCKET)
    yield made
    empty(made)
    made.delete_bucket(Bucket=BUCKET)


def empty(client: Any) -> None:
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])


def upload(client: Any, folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            client.put_object(Bucket=BUCKET, Key=f"album/{file.relative_to(folder)}", Body=file.read_bytes())


def put(client: Any, *keys: str, content: bytes = b"abc") -> None:
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=content)


def paths(url: str, **settings: object) -> list[str]:
    return [found.key.path for found in typed_root(url).images(WalkSettings(**settings))]


def test_the_same_rows_as_from_the_folder(client: Any, photos: Path, tmp_path: Path, command: Run) -> None:
    """A bucket is annotated as its folder is, by workers that fetch the objects themselves; then nothing is to do."""
    upload(client, photos)
    annotate_here(photos, tmp_path / "folder")
    done = command(f"S3://{BUCKET}/album/", "-o", tmp_path / "store", "-j", 2)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
    images, faces = tables(tmp_path / "store")
    assert set(images["root"]) == set(faces["root"]) == {URL}
    written = (tmp_path / "store" / "images.parquet").stat()
    assert annotate_here(URL, tmp_path / "store").images == 0
    assert (tmp_path / "store" / "images.parquet").stat() == written


def test_only_what_changed_is_annotated_anew(client: Any, photos: Path, tmp_path: Path) -> None:
    """An object that was replaced is done again, one that is gone loses its rows, the others stay as they are."""
    upload(client, photos)
    annotate_here(URL, tmp_path / "out")
    turned = io.BytesIO()
    astronaut().rotate(180).save(turned, "JPEG")
    put(client, "album/astronaut.jpg", content=turned.getvalue())
    client.delete_object(Bucket=BUCKET, Key="album/deep/er/coffee.webp")
    assert annotate_here(URL, tmp_path / "out").images == 1
    assert list(tables(tmp_path / "out")[0]["path"]) == ["astronaut.jpg", "deep/broken.jpg", "deep/mirrored.png"]


def test_another_content_of_the_same_size_and_second_is_another_version(client: Any) -> None:
    """Stores tell whole seconds; the ETag tells the rest."""
    versions = set()
    for content in (b"one", b"two"):
        put(client, "a.jpg", content=content)
        changed = client.head_object(Bucket=BUCKET, Key="a.jpg")["LastModified"]
        [found] = open_root(f"s3://{BUCKET}").images(WalkSettings())
        assert (found.size_bytes, found.modified_ns // 10**9) == (3, int(changed.timestamp()))
        versions.add(found.modified_ns % 10**9)
    assert len(versions) == 2


def test_what_is_listed(client: Any) -> None:
    """Sorted by whole path, below the prefix alone, chosen by patterns and shard, without hidden objects."""
    expected = ["//c.jpg", "a-b.jpg", "a.jpg", "a/b/c.webp", "a/z.png", "b.JPG", "back\\\\slash ü?#%20.jpg"]
    hidden = (".h.jpg", ".cache/e.jpg", "../out.jpg", "a/../b.jpg", "notes.txt", "folder.jpg/")
    keys = [f"album/{path}" for path in (*expected[:-1], "back\\slash ü?#%20.jpg", *hidden)]
    put(client, *keys, "album2/no.jpg", "no.jpg", "album")
    assert paths(URL) == sorted(expected) == expected
    assert paths(f"{URL}/a") == ["b/c.webp", "z.png"]
    assert paths(URL, include=("a/*",), exclude=("*.png",)) == ["a/b/c.webp"]
    assert sorted(path for part in (1, 2, 3) for path in paths(URL, shard=(part, 3))) == expected
    for path in expected:
        assert open_root(URL).source(path).open("rb").read() == b"abc"


def test_objects_that_cannot_be_read_are_rows(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty, damaged, gone and huge objects have their reasons; an emptied prefix is no heap of unreadable images."""
    monkeypatch.setattr("batch.roots.root.LARGEST", 100)
    put(client, "album/damaged.jpg")
    put(client, "album/empty.jpg", content=b"")
    put(client, "album/huge.jpg", content=bytes(101))
    names = ("damaged.jpg", "empty.jpg", "gone.jpg", "huge.jpg")
    chunk = [ImageFile(Key(URL, name), 0 if name == "empty.jpg" else 1, 1) for name in names]
    damaged, nothing, gone, huge = annotate_chunk(chunk, WORKER)
    assert {damaged.status, nothing.status, gone.status} == {Status.UNREADABLE}
    assert "not an image" in str(damaged.error) and "empty" in str(nothing.error) and "vanished" in str(gone.error)
    assert huge.status is Status.TOO_LARGE
    empty(client)
    with pytest.raises(RootError, match=f"No such root: {URL}"):
        annotate_chunk(chunk, WORKER)


def test_an_object_that_has_changed_after_the_listing(client: Any) -> None:
    """It has its row, which the next run does again; what has another size and no later time is not the object."""
    image = io.BytesIO()
    noise(1).save(image, "BMP")
    put(client, "album/image.bmp", content=image.getvalue())
    put(client, "album/damaged.bmp")
    now = list(open_root(URL).images(WalkSettings()))
    before = [found._replace(size_bytes=1, modified_ns=found.modified_ns - 10**10) for found in now]
    damaged, blank = annotate_chunk(before, WORKER)
    assert (damaged.status, blank.status) == (Status.UNREADABLE, Status.NO_FACE)
    others = [found._replace(size_bytes=1) for found in now]
    assert all(isinstance(one, Setback) for one in annotate_chunk(others, replace(WORKER, store_timeout=0)))


def test_credentials_that_expire_end_the_run(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that may not be read is a row; if the bucket may not be listed any more either, it is no row."""
    put(client, "album/a.jpg")

    async def refuse(*_: object, **__: object) -> None:
        raise PermissionError("refused")

    files = open_root(URL)._files
    monkeypatch.setattr(files, "_info", refuse)  # stands in for a policy, which the server does not know
    [row] = annotate_chunk([ImageFile(Key(URL, "a.jpg"), 1, 1)], WORKER)
    assert row.status is Status.DENIED
    monkeypatch.setattr(files, "_ls", refuse)
    with pytest.raises(RootError, match="Not allowed to list"):
        annotate_chunk([ImageFile(Key(URL, "a.jpg"), 1, 1)], WORKER)


def test_what_does_not_answer_deletes_nothing(client: Any, photos: Path, tmp_path: Path) -> None:
    """A bucket that is empty, gone or not to be reached ends the run and keeps the rows; --prune takes emptiness."""
    upload(client, photos)
    annotate_here(URL, tmp_path / "out")
    before = (tmp_path / "out" / "images.parquet").read_bytes()
    empty(client)
    with pytest.raises(RootError, match="--prune"):
        annotate_here(URL, tmp_path / "out")
    put(client, "album/notes.txt")
    with pytest.raises(RootError, match="--prune"):
        annotate_here(URL, tmp_path / "out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # where nothing listens
        S3FileSystem.clear_instance_cache()
        with pytest.raises(RootError, match="Could not connect"):
            annotate_here(URL, tmp_path / "out", prune=True, worker=replace(WORKER, networks=None, store_timeout=0))
        [unread] = annotate_chunk([ImageFile(Key(URL, "astronaut.jpg"), 1, 1)], replace(WORKER, store_timeout=0))
        assert isinstance(unread, Setback)
        assert "Could not connect" in unread.reason
        forget_outages()
    S3FileSystem.clear_instance_cache()
    with pytest.raises(RootError, match="No such root: s3://no-bucket"):
        annotate_here("s3://no-bucket", tmp_path / "out")
    with pytest.raises(RootError, match=f"Nothing lies below s3://{BUCKET}/typo"):
        annotate_here(f"s3://{BUCKET}/typo", tmp_path / "out")
    assert (tmp_path / "out" / "images.parquet").read_bytes() == before
    empty(client)
    annotate_here(URL, tmp_path / "out", prune=True)
    assert len(tables(tmp_path / "out")[0]) == 0


@pytest.mark.parametrize(
    ("url", "missing", "said"),
    [
        ("ftp://host/photos", "", "s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://BUCKET/PREFIX"),
        ("s3://", "", "s3://BUCKET/PREFIX"),
        ("s3://bucket", "fsspec", "pip install 'emotion-annotate[remote]'"),
        ("gs://bucket", "gcsfs", "pip install 'emotion-annotate[remote]'"),
        ("az://bucket", "adlfs", "pip install 'emotion-annotate[remote]'"),
    ],
)
def test_what_is_not_read(url: str, missing: str, said: str, tmp_path: Path) -> None:
    """An unknown kind of URL, and a known one without the extra, end the run with exit code 5 and the fix."""
    start = f"import sys; sys.modules[{missing!r}] = None; from jobs.annotate import app; app()"
    command = [sys.executable, "-c", start, url, "-o", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert (done.returncode, said in done.stderr) == (5, True), done.stderr
    assert not (tmp_path / "out" / "images.parquet").exists()


def test_crops_copies_and_report_of_a_store(client: Any, photos: Path, tmp_path: Path) -> None:
    """Pictures are filed by bucket and key, beside those of a folder; the report fetches the faces while it can."""
    from jobs.report_page.page import render

    upload(client, photos)
    (tmp_path / "other").mkdir()
    astronaut().save(tmp_path / "other" / "astronaut.jpg")
    pictures = {"crops": tmp_path / "crops", "draw": tmp_path / "drawn"}
    annotate_here(URL, tmp_path / "out", roots=(URL, tmp_path / "other"), **pictures)
    _, faces = tables(tmp_path / "out")
    drawn = {str(file.relative_to(tmp_path / "drawn")) for file in (tmp_path / "drawn").rglob("*.*")}
    album = f"s3/{BUCKET}/album"
    local = (tmp_path / "other" / "astronaut.jpg").relative_to("/")
    assert drawn == {f"{album}/{name}" for name in ("astronaut.jpg", "deep/mirrored.png", "deep/er/coffee.webp")} | {
        str(local)
    }
    assert len(list((tmp_path / "crops").rglob("*.png"))) == len(faces) >= 3
    assert render(tmp_path / "out").count("<img src") == len(faces) - 1  # copies of one face are shown once
    empty(client)
    page = render(tmp_path / "out")
    assert (page.count("<img src"), page.count("not there any more")) == (1, len(faces) - 1)


def test_an_archive_in_a_store_is_told(client: Any, tmp_path: Path) -> None:
    """It is not read there, and its name is not misspelt."""
    put(client, "album/all.ZIP")
    for name in ("album/all.ZIP", "gone.tar.xz"):
        with pytest.raises(RootError, match=f"{name}.*Archives in stores are not read: download it, or"):
            annotate_here(f"s3://{BUCKET}/{name}", tmp_path / "out")


def test_urls_that_overlap(command: Run, tmp_path: Path) -> None:
    """A prefix within another is wrong usage, as its images would come twice; a URL is in no folder's way."""
    done = command(f"{URL}/deep", URL, "-o", tmp_path / "out")
    assert (done.returncode, f"{URL}/deep lies within {URL}" in done.stderr) == (2, True), done.stderr
    done = command(URL, "ftp://x/y", "-o", tmp_path / "out", "--draw", tmp_path / "s3:" / BUCKET, "--dry-run")
    assert (done.returncode, "Cannot read ftp://x/y" in done.stderr) == (5, True), done.stderr


def test_keys_that_are_odd(client: Any, tmp_path: Path) -> None:
    """Tabs, line ends, blanks and signs of URLs in keys are read as they are; a folder's mark is no image."""
    odd = [
        "tab\there.jpg",
        "new\nline.jpg",
        "return\r.jpg",
        " blank .jpg",
        "a%2Fb+c&d=e.jpg",
        "*[x]?.jpg",
        "q?versionId=1.jpg",
        "\u2028é.jpg",
    ]
    put(client, *(f"album/{name}" for name in odd), *(f"album/{name}/in\t{name}" for name in odd))
    put(client, "album/folder.jpg/", "album/more/", "album/a/b.jpg/", content=b"")
    expected = sorted([*odd, *(f"{name}/in\t{name}" for name in odd)])
    assert paths(URL) == expected
    for path in expected:
        assert open_root(URL).source(path).open("rb").read() == b"abc"


def test_what_is_no_checksum_is_not_taken_for_one(client: Any) -> None:
    """The ETag of what was uploaded in parts, or encrypted by a key of somebody's, says nothing of the bytes."""
    put(client, "plain.jpg")
    client.put_object(Bucket=BUCKET, Key="encrypted.jpg", Body=b"abc", ServerSideEncryption="aws:kms")
    parts = client.create_multipart_upload(Bucket=BUCKET, Key="parts.jpg")["UploadId"]
    of = {"Bucket": BUCKET, "Key": "parts.jpg", "UploadId": parts}
    part = client.upload_part(**of, PartNumber=1, Body=b"abc")
    client.complete_multipart_upload(**of, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    files = store_client("s3")
    for key, other in (("plain.jpg", False), ("encrypted.jpg", True), ("parts.jpg", True)):
        place = f"{BUCKET}/{key}"
        facts = files.info(place)
        assert are_its_bytes(files, "s3", place, facts, b"abc", 10)
        assert are_its_bytes(files, "s3", place, facts, b"abd", 10) is other
    google = {"md5Hash": b64encode(md5(b"abc").digest()).decode()}  # noqa: S324 - as Google has it
    assert [are_its_bytes(None, "gs", "", google, content, 10) for content in (b"abc", b"abd")] == [True, False]
