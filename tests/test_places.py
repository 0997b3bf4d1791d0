"""Where the networks run: in the workers wherever that can be."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import annotate_here, assert_same_tables, tables
from test_bundle import save, two

from jobs.annotation.places import NetworkSettings, worker_networks
from model.bundle import EMOTION_MODEL, FACE_MODEL, read_card
from model.device import gpu_in_sight
from model.errors import DeviceError


def test_a_model_without_onnx_is_written_as_such_once(
    photos: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stranger's network runs in the workers, too; where it cannot be written Keras runs it, and the log says why."""
    caplog.set_level("INFO", "annotate.job")
    model = save(tmp_path, two)
    annotate_here(photos, tmp_path / "one", model=model)
    written = list((tmp_path / "one").glob(".*.onnx"))
    assert (len(written), "writing" in caplog.text) == (1, True)
    caplog.clear()
    annotate_here(photos, tmp_path / "one", model=model, rescan=True)
    assert "writing" not in caplog.text
    monkeypatch.setattr("model.export.can_export", lambda: False)
    annotate_here(photos, tmp_path / "other", model=model)
    assert "slower" in caplog.text and "[train]" in caplog.text
    assert len(tables(tmp_path / "other")[1]) == 2
    assert_same_tables(tmp_path / "one", tmp_path / "other", tolerance=1e-4)


def test_an_onnx_file_of_another_model_is_not_taken_for_it(tmp_path: Path) -> None:
    """Only the .onnx that was written of this very .keras is its network."""
    for suffix in (".keras", ".onnx", ".json"):
        shutil.copy(EMOTION_MODEL.with_suffix(suffix), tmp_path / f"m{suffix}")
    assert read_card(tmp_path / "m.keras").onnx == tmp_path / "m.onnx"
    facts = json.loads((tmp_path / "m.json").read_text())
    (tmp_path / "m.json").write_text(json.dumps(facts | {"onnx": {**facts["onnx"], "of": "another"}}))
    assert read_card(tmp_path / "m.keras").onnx is None
    (tmp_path / "m.json").write_text(json.dumps({"labels": facts["labels"]}))
    assert read_card(tmp_path / "m.keras").onnx is None


def test_devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cpu is never doubted, auto looks for a driver and not for Keras, gpu demands one."""

    def where(device: str) -> object:
        cards = read_card(EMOTION_MODEL), read_card(FACE_MODEL)
        return worker_networks(NetworkSettings(*cards, 64, device, None, tmp_path))

    if gpu_in_sight():
        pytest.skip("this machine has a GPU")
    assert where("auto") == where("cpu") is not None
    with pytest.raises(DeviceError):
        where("gpu")
    monkeypatch.setattr("jobs.annotation.places.gpu_in_sight", lambda: True)
    monkeypatch.setattr("jobs.annotation.places.choose_device", lambda _: "gpu:0")
    assert (where("auto"), where("cpu") is not None) == (None, True)
