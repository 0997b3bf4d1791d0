"""A store that is out, hangs, is busy or breaks connections in the middle of a run: no row of it, and no silence."""

import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from conftest import WORKER, annotate_here, assert_same_rows, noise, tables
from fault_proxy import FaultProxy, fault_proxy
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from batch.errors import OutageError, UnreadError
from batch.roots import outages, store
from batch.workers import patience
from batch.workers.patience import Patience
from jobs.annotation import run_report

BUCKET = "photos"
URL = f"s3://{BUCKET}/album"
GET = "GET /photos/album/"
"""What asks for an object's bytes; a listing asks for the bucket."""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """Where an S3 server listens."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    started = ThreadedMotoServer("127.0.0.1", 0)
    started.start()
    yield started.get_host_and_port()
    started.stop()


@pytest.fixture
def proxy(server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to the server, which breaks as the test says."""
    with fault_proxy(*server) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setattr(outages, "_said_at", {})
        S3FileSystem.clear_instance_cache()
        yield made
        S3FileSystem.clear_instance_cache()


@pytest.fixture
def album(proxy: FaultProxy, server: tuple[str, int], photos: Path) -> Iterator[Path]:
    """A folder of photographs, and the same in the bucket."""
    for number in range(8):
        noise(number).save(photos / "deep" / f"{number}.png")
    client = boto3.client("s3", endpoint_url="http://{}:{}".format(*server))
    client.create_bucket(Bucket=BUCKET)
    for file in photos.rglob("*.*"):
        client.put_object(Bucket=BUCKET, Key=f"album/{file.relative_to(photos)}", Body=file.read_bytes())
    yield photos
    for item in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=item["Key"])
    client.delete_bucket(Bucket=BUCKET)


def patient(seconds: float, image_timeout: float = 60.0) -> dict[str, Any]:
    return {"worker": replace(WORKER, networks=None, store_timeout=seconds, image_timeout=image_timeout)}


def test_a_store_that_hangs_longer_than_an_image_may_take_costs_no_row(
    album: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Fetching has a clock of its own: what kills a worker is decoding that takes long, and no network."""
    proxy.break_for(7, "hang", GET)
    annotate_here(URL, tmp_path / "store", jobs=2, **patient(120, image_timeout=3))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


@pytest.mark.parametrize("fault", ["refuse", 503, 429, 408, 500, ("reset", 300)])
def test_a_store_that_is_out_is_waited_for(
    fault: Any, album: Path, proxy: FaultProxy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its answer to everything is meanwhile, the rows are those of the folder, and the log says it at once."""
    proxy.break_for(3, fault)
    annotate_here(URL, tmp_path / "store", **patient(120))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
    if fault != ("reset", 300):  # the few bytes of other answers come through
        assert f"{URL} does not answer" in caplog.text


@pytest.mark.parametrize("fault", ["refuse", 503, ("reset", 5000)])
def test_a_store_that_is_busy_refuses_some_and_loses_none(
    fault: Any, album: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Every third request fails, and every image has its row in the end."""
    proxy.fault = lambda line: fault if GET in line and len(proxy.asked) % 3 == 0 else None
    annotate_here(URL, tmp_path / "store", **patient(120))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


@pytest.mark.parametrize(
    ("method", "fault"),
    [("GET", ("instead", 900)), ("HEAD", ("instead", 0)), ("HEAD", "login"), ("", ("instead", 900))],
)
def test_another_answer_than_the_object_is_no_verdict_on_it(
    method: str, fault: Any, album: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    """What comes in its place, or has another length, is asked for again."""
    proxy.break_for(3, fault, f"{method} /{BUCKET}/album/astronaut.jpg" if method else "/astronaut.jpg")
    annotate_here(URL, tmp_path / "store", **patient(120))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
    assert any(f"{method} /{BUCKET}/album/astronaut.jpg" in line for line in proxy.asked)


def test_bytes_that_are_not_the_objects_cost_no_row(
    album: Path, proxy: FaultProxy, server: tuple[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many, but others, are asked for again, also where the client itself has no checksum to look at."""
    plain = Config(request_checksum_calculation="when_required")
    client = boto3.client("s3", endpoint_url="http://{}:{}".format(*server), config=plain)
    for file in album.rglob("*.*"):
        client.put_object(Bucket=BUCKET, Key=f"album/{file.relative_to(album)}", Body=file.read_bytes())
    monkeypatch.setattr("batch.workers.fetching._PAUSES", (0.1, 0.2, 0.4))
    proxy.break_for(1.5, "wrong", GET)
    annotate_here(URL, tmp_path / "store", **patient(120))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
    monkeypatch.setattr(Patience.__init__, "__defaults__", ((0.1, 0.1), patience.MANY, 0.0))
    proxy.break_all("wrong", f"{GET}deep/3.png")
    with pytest.raises(UnreadError, match="other bytes than those of the object's checksum"):
        annotate_here(URL, tmp_path / "other", **patient(1))
    assert set(tables(tmp_path / "store")[0]["path"]) - set(tables(tmp_path / "other")[0]["path"]) == {"deep/3.png"}


def test_a_slow_store_is_no_dead_one(album: Path, proxy: FaultProxy, tmp_path: Path) -> None:
    """A photograph that takes seconds to come is read like any other, however little time decoding has."""
    proxy.break_all(("slow", 15_000), "astronaut.jpg")
    annotate_here(URL, tmp_path / "store", jobs=1, **patient(120, image_timeout=4))
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


@pytest.mark.parametrize("fault", ["refuse", 503, "hang"])
def test_a_listing_that_fails_is_asked_for_again(
    fault: Any,
    album: Path,
    proxy: FaultProxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A store that is out as a run begins is waited for, and that is said; after --store-timeout the run ends."""
    monkeypatch.setattr(run_report, "LOG_EVERY_SECONDS", 0.5)
    monkeypatch.setattr(store, "_LISTING", 2.0)
    caplog.set_level(logging.INFO)
    proxy.break_for(3, fault)
    annotate_here(URL, tmp_path / "out", **patient(60))
    assert len(tables(tmp_path / "out")[0]) == 12
    assert "does not answer" in caplog.text or fault == "hang"
    assert f"listing {URL}" in caplog.text
    proxy.break_all(fault)
    before = (tmp_path / "out" / "images.parquet").read_bytes()
    with pytest.raises(OutageError, match=r"does not answer.*--store-timeout 1"):
        annotate_here(URL, tmp_path / "out", prune=True, **patient(1))
    assert (tmp_path / "out" / "images.parquet").read_bytes() == before


@pytest.mark.parametrize("fault", [("instead", 0), ("instead", 900), "login"])
def test_another_answer_than_a_page_of_the_listing_deletes_nothing(
    fault: Any, album: Path, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked for again; without it the listing is not whole, and no end of it either."""
    annotate_here(URL, tmp_path / "out", **patient(60))
    before = (tmp_path / "out" / "images.parquet").read_bytes()
    with monkeypatch.context() as patch:
        patch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "5")
        proxy.break_for(2, fault, "continuation-token")
        assert annotate_here(URL, tmp_path / "out", **patient(60)).images == 0
        proxy.break_all(fault, "continuation-token")
        with pytest.raises(OutageError, match=r"does not answer.*--store-timeout 1"):
            annotate_here(URL, tmp_path / "out", prune=True, **patient(1))
    assert sum("continuation-token" in line for line in proxy.asked) > 3
    assert (tmp_path / "out" / "images.parquet").read_bytes() == before


@pytest.mark.parametrize("jobs", [0, 2])
def test_a_store_that_stays_away_ends_the_run_and_what_is_done_is_kept(
    jobs: int, album: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    """After --store-timeout the run ends, with no row of what could not be fetched; the next run completes it."""
    proxy.fault = lambda line: "refuse" if sum(GET in asked for asked in proxy.asked) > 6 else None
    began = time.monotonic()
    with pytest.raises(UnreadError, match=r"does not answer.*--store-timeout 3.*next run goes on"):
        annotate_here(URL, tmp_path / "store", jobs=jobs, **patient(3))
    assert time.monotonic() - began < 60
    images, _ = tables(tmp_path / "store")
    assert 1 <= len(images) < 12
    assert set(images["status"]) <= {"ok", "no_face", "unreadable"}
    proxy.heal()
    assert annotate_here(URL, tmp_path / "store").images == 12 - len(images)
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


def test_an_object_that_never_comes_holds_up_no_other(
    album: Path, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the store answers but for one object, the others are done, and that one has no row."""
    monkeypatch.setattr(Patience.__init__, "__defaults__", ((0.1, 0.1), patience.MANY, 0.0))
    proxy.break_all(500, f"{GET}deep/3.png")
    with pytest.raises(UnreadError, match=r"1 image .*deep/3\.png"):
        annotate_here(URL, tmp_path / "store", **patient(120))
    images, _ = tables(tmp_path / "store")
    assert len(images) == 11
    assert not set(images["path"]) & {"deep/3.png"}


@pytest.mark.parametrize(("answer", "status"), [(403, "denied"), (404, "unreadable")])
def test_what_a_store_refuses_is_a_row_that_the_next_run_tries_again(
    answer: int, status: str, album: Path, proxy: FaultProxy, tmp_path: Path
) -> None:
    """As long as it is refused the tables stay untouched; once it is not, it is annotated, without --retry-failed."""
    proxy.break_all(answer, "/album/deep/3.png")
    annotate_here(URL, tmp_path / "store", **patient(60))
    images, _ = tables(tmp_path / "store")
    assert images.set_index("path")["status"]["deep/3.png"] == status
    written = (tmp_path / "store" / "images.parquet").stat()
    assert annotate_here(URL, tmp_path / "store", **patient(60)).images == 0
    assert (tmp_path / "store" / "images.parquet").stat() == written
    proxy.heal()
    assert annotate_here(URL, tmp_path / "store", **patient(60)).images == 1
    annotate_here(album, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
