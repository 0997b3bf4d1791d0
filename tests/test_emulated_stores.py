"""Azure's and Google's stores, as their emulators speak, with connections that break: ``make nightly`` brings these."""

import base64
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import fsspec
import pytest
from conftest import WORKER, Run, annotate_here, assert_same_rows, noise, tables
from fault_proxy import FaultProxy, fault_proxy

from batch.errors import OutageError, UnreadError
from batch.roots import outages
from batch.roots.store_client import store_client

ACCOUNT, KEY = "album", base64.b64encode(b"of nobody's").decode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@contextmanager
def serving(words: list[str], port: int, **more: Any) -> Iterator[tuple[str, int]]:
    """Run a server until its port answers, and to the end of the tests."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        yield "127.0.0.1", port
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module", params=["az", "gs"])
def scheme(request: pytest.FixtureRequest) -> str:
    """Whose store."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(scheme: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """Where an emulator listens."""
    port, folder = free_port(), tmp_path_factory.mktemp(scheme)
    if scheme == "az":
        program = shutil.which("azurite-blob")
        if program is None or find_spec("adlfs") is None:
            pytest.skip("no azurite-blob (npm install azurite) on the PATH, or no adlfs")
        words = [program, "--blobPort", str(port), "--location", str(folder), "--silent", "--skipApiVersionCheck"]
        with serving(words, port, env={**os.environ, "AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}"}) as place:
            yield place
        return
    program = shutil.which("gcp-storage-emulator")
    if program is None or find_spec("gcsfs") is None:
        pytest.skip("no gcp-storage-emulator (pip install gcp-storage-emulator) on the PATH, or no gcsfs")
    words = [program, "start", "--host=127.0.0.1", f"--port={port}", "--in-memory"]
    with serving(words, port, cwd=folder) as place:
        yield place


@pytest.fixture
def proxy(scheme: str, server: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    """The way to the emulator, which breaks as the test says."""
    with fault_proxy(*server) as made:
        if scheme == "az":
            said = {"DefaultEndpointsProtocol": "http", "AccountName": ACCOUNT, "AccountKey": KEY}
            said |= {"BlobEndpoint": f"{made.url}/{ACCOUNT}"}
            text = ";".join(f"{name}={value}" for name, value in said.items())
            monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        else:
            monkeypatch.setenv("STORAGE_EMULATOR_HOST", made.url)
            monkeypatch.setenv("FSSPEC_GS_TOKEN", "anon")
            fsspec.config.set_conf_env(fsspec.config.conf)
        monkeypatch.setattr(outages, "_said_at", {})
        type(store_client(scheme)).clear_instance_cache()
        yield made
        type(store_client(scheme)).clear_instance_cache()


@pytest.fixture
def album(scheme: str, proxy: FaultProxy, photos: Path) -> Iterator[tuple[Path, str]]:
    """A folder of photographs, and the URL of the same in a bucket."""
    for number in range(8):
        noise(number).save(photos / "deep" / f"{number}.png")
    client, bucket = store_client(scheme), f"photos{proxy.url.rpartition(':')[2]}"
    client.mkdir(bucket)
    for file in photos.rglob("*.*"):
        client.pipe_file(f"{bucket}/album/{file.relative_to(photos)}", file.read_bytes())
    yield photos, f"{scheme}://{bucket}/album"
    proxy.heal()
    client.rm(f"{bucket}/album", recursive=True)


def patient(seconds: float) -> dict[str, Any]:
    return {"worker": replace(WORKER, networks=None, store_timeout=seconds)}


def test_the_same_rows_as_from_the_folder(album: tuple[Path, str], tmp_path: Path, command: Run) -> None:
    """A bucket is annotated as its folder is, by workers that fetch the objects themselves; then nothing is to do."""
    folder, url = album
    done = command(url, "-o", tmp_path / "store", "-j", 2, "--crops", tmp_path / "crops")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    annotate_here(folder, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
    assert len(list((tmp_path / "crops").rglob("*.png"))) == 2
    assert annotate_here(url, tmp_path / "store").images == 0


def test_what_is_gone_loses_its_row_and_what_is_new_gets_one(
    scheme: str, album: tuple[Path, str], tmp_path: Path
) -> None:
    """Names that are odd in URLs are names; a single photograph is a root."""
    _, url = album
    client, path = store_client(scheme), url.partition("://")[2]
    annotate_here(url, tmp_path / "out")
    names = ["ü ö.png", "100%.png", "a+b.png", "a#b?.png"]
    for name in names:
        client.pipe_file(f"{path}/odd/{name}", (album[0] / "deep" / "3.png").read_bytes())
    client.rm_file(f"{path}/deep/3.png")
    assert annotate_here(url, tmp_path / "out").images == len(names)
    images, _ = tables(tmp_path / "out")
    assert {f"odd/{name}" for name in names} < set(images["path"])
    assert "deep/3.png" not in set(images["path"])
    assert set(images["status"]) == {"ok", "no_face", "unreadable"}
    annotate_here(f"{url}/deep/4.png", tmp_path / "one")
    assert list(tables(tmp_path / "one")[0]["path"]) == ["4.png"]


@pytest.mark.parametrize("fault", ["refuse", 503, 429, 500, ("reset", 300)])
def test_a_store_that_is_out_is_waited_for(
    fault: Any, album: tuple[Path, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    """Whatever its answer to everything is meanwhile, the rows are those of the folder."""
    folder, url = album
    proxy.break_for(4, fault)
    annotate_here(url, tmp_path / "store", **patient(120))
    annotate_here(folder, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


def test_a_store_that_hangs_is_waited_for(album: tuple[Path, str], proxy: FaultProxy, tmp_path: Path) -> None:
    """Of connections that say nothing any more, others are made."""
    folder, url = album
    proxy.break_for(6, "hang", "/album/")
    annotate_here(url, tmp_path / "store", **patient(240))
    annotate_here(folder, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


def test_a_store_that_stays_away_ends_the_run_and_what_is_done_is_kept(
    album: tuple[Path, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    """After --store-timeout the run ends, with no row of what could not be fetched; the next run completes it."""
    folder, url = album
    began, asked = time.monotonic(), len(proxy.asked)
    proxy.fault = lambda _: "refuse" if len(proxy.asked) - asked > 8 else None
    with pytest.raises((UnreadError, OutageError), match="does not answer"):
        annotate_here(url, tmp_path / "store", **patient(3))
    assert time.monotonic() - began < 90
    assert set(tables(tmp_path / "store")[0]["status"]) <= {"ok", "no_face", "unreadable"}
    proxy.heal()
    annotate_here(url, tmp_path / "store")
    annotate_here(folder, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")


@pytest.mark.parametrize(("answer", "status"), [(403, "denied"), (404, "unreadable")])
def test_what_a_store_refuses_is_a_row_that_the_next_run_tries_again(
    answer: int, status: str, album: tuple[Path, str], proxy: FaultProxy, tmp_path: Path
) -> None:
    """Once it is not refused any more, it is annotated."""
    folder, url = album
    proxy.break_all(answer, "3.png")
    annotate_here(url, tmp_path / "store", **patient(60))
    assert tables(tmp_path / "store")[0].set_index("path")["status"]["deep/3.png"] == status
    proxy.heal()
    assert annotate_here(url, tmp_path / "store", **patient(60)).images == 1
    annotate_here(folder, tmp_path / "folder")
    assert_same_rows(tmp_path / "folder", tmp_path / "store")
