"""OpenCV's own detector, with the file that the user brings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import Run, annotate_here, astronaut, tables, without_people

from batch.detection.boxes import iou
from batch.detection.detect import build_detector
from batch.errors import DetectorError
from batch.settings import DetectorSettings, WorkerSettings

FACE = np.array([[170, 65, 110, 110]])  # where the astronaut's face is, by eye


@pytest.fixture
def onnx(shared_data: Path) -> Path:
    """The published file."""
    return shared_data / "yunet" / "face_detection_yunet_2023mar.onnx"


def test_face_is_found_as_a_square(onnx: Path) -> None:
    """One box, square like a cascade's, on the astronaut's face; none on a cup of coffee."""
    detector = build_detector(DetectorSettings("yunet", model=onnx))
    boxes, [score] = detector.detect(np.asarray(astronaut().convert("L")))
    assert boxes[0, 2] == boxes[0, 3]
    assert iou(FACE, boxes).max() > 0.5
    assert 0.8 < score <= 1
    assert len(detector.detect(np.asarray(without_people().convert("L")))[0]) == 0


def test_job_with_yunet(onnx: Path, photos: Path, tmp_path: Path) -> None:
    """The whole job runs with it, and both photographs of the astronaut have one face."""
    annotate_here(photos, tmp_path / "out", worker=WorkerSettings(DetectorSettings("yunet", model=onnx)))
    images, faces = tables(tmp_path / "out")
    assert len(faces) == 2
    assert (images["status"] == "no_face").sum() == 1


def test_missing_or_wrong_file(photos: Path, tmp_path: Path, command: Run) -> None:
    """No file, a missing one and one that is no model end with exit 5, the model's name and where it is published."""
    wrong = tmp_path / "wrong.onnx"
    wrong.write_bytes(b"this is no model")
    for arguments in ((), ("--detector-model", tmp_path / "none.onnx"), ("--detector-model", wrong)):
        done = command(photos, "-o", tmp_path / "out", "-j", 1, "--detector", "yunet", *arguments)
        assert done.returncode == 5
        assert "face_detection_yunet_2023mar.onnx" in done.stderr
        assert "opencv/opencv_zoo" in done.stderr


def test_identity_has_the_file(onnx: Path, tmp_path: Path) -> None:
    """Another file is another identity, the same file elsewhere is not."""
    copy, other = tmp_path / "copy.onnx", tmp_path / "other.onnx"
    copy.write_bytes(onnx.read_bytes())
    other.write_bytes(onnx.read_bytes() + b"x")
    one, same, different = (DetectorSettings("yunet", model=file).identity() for file in (onnx, copy, other))
    assert one == same != different
    with pytest.raises(DetectorError):
        DetectorSettings("yunet").identity()


def test_opencv_without_cascades(onnx: Path) -> None:
    """OpenCV 5 has no cascades: YuNet works, and asking for a cascade names the OpenCV that is needed."""
    program = """if True:
        import sys
        from pathlib import Path
        import cv2
        del cv2.CascadeClassifier
        from batch.detection.detect import build_detector
        from batch.errors import DetectorError
        from batch.settings import DetectorSettings
        build_detector(DetectorSettings("yunet", model=Path(sys.argv[1])))
        try:
            build_detector(DetectorSettings())
        except DetectorError as error:
            print(error)
        """
    done = subprocess.run([sys.executable, "-c", program, onnx], capture_output=True, text=True, check=True)
    assert "Install opencv-python-headless >=4.12,<5" in done.stdout
