"""Camera RAW photographs, through the preview inside or a quick development."""

import subprocess
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import annotate_here, astronaut
from raw_photographs import write_dng

from batch.images.decode import ImageError, read_photograph, read_picture

MANY = 10**9


@pytest.mark.parametrize("preview", [512, 256, 64, None], ids=["large preview", "half as large", "tiny", "none"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_photograph_is_seen_upright(preview: int | None, orientation: int, tmp_path: Path) -> None:
    """Whatever lies inside, it is the astronaut, upright, with the sensor's size and the moment it was taken."""
    file = tmp_path / "a.DNG"
    file.write_bytes(write_dng(orientation, preview))
    photograph = read_photograph(file, MANY, 1280)
    assert (photograph.width, photograph.height) == (512, 512)
    assert photograph.taken_at == datetime(2019, 7, 4, 12, 30, 5)
    side = photograph.gray.shape[0]
    assert side == (512 if preview == 512 else 256), "a preview as large as the sensor is enough, a smaller one is not"
    expected = np.asarray(astronaut().convert("L").resize((side, side)))
    assert np.corrcoef(photograph.gray.ravel(), expected.ravel())[0, 1] > 0.9
    shown, scale = read_picture(file)
    assert scale == pytest.approx(side / 512)
    assert shown.size == (side, side)


def test_raw_photographs_have_faces(tmp_path: Path) -> None:
    """The job finds the face in pixels of the full photograph, with a preview of half the size or developed."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "preview.nef").write_bytes(write_dng(6, 512))
    (tmp_path / "photos" / "sensor.dng").write_bytes(write_dng(8, None))
    annotate_here(tmp_path / "photos", tmp_path / "out")
    faces = pd.read_parquet(tmp_path / "out" / "faces.parquet")
    assert list(faces["path"]) == ["preview.nef", "sensor.dng"]
    assert set(faces["emotion"]) == {"joy"}
    centres = faces["x"] + faces["width"] / 2, faces["y"] + faces["height"] / 2
    assert np.allclose(centres[0], 225, atol=20)
    assert np.allclose(centres[1], 120, atol=20)


def test_a_damaged_raw_photograph_is_a_reason(tmp_path: Path) -> None:
    """Cut off anywhere, it is an ImageError and no crash."""
    whole = write_dng(1, 512)
    for length in (0, 10, 900, 3000, 20_000):
        file = tmp_path / "a.cr2"
        file.write_bytes(whole[:length])
        with pytest.raises(ImageError) as raised:
            read_photograph(file, MANY, 1280)
        assert raised.value.reason


def test_without_the_extra_raw_says_which_one_reads_it(tmp_path: Path) -> None:
    """No thumbnail is taken for the photograph; the row names the extra."""
    (tmp_path / "a.dng").write_bytes(write_dng(1, 512))
    script = (
        "import sys; sys.modules['rawpy'] = None\n"
        "from pathlib import Path; from batch.images.decode import read_photograph, ImageError\n"
        "try: read_photograph(Path(sys.argv[1]), 10**9, 1280)\n"
        "except ImageError as error: print(error.status, error.reason)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.dng")], capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("unreadable camera RAW photographs need the extra [raw]"), done.stderr
