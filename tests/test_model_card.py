"""The model card says of each file that ships what the file's own .json says."""

import hashlib
import json
import re
import shlex
from typing import Any

import pytest
import yaml

from model.bundle import EMOTION_MODEL, load_network, read_card
from model.labels import EMOTIONS

WEIGHTS = EMOTION_MODEL.parent
CARD = (WEIGHTS / "README.md").read_text("utf-8")
ROWS = {
    "FER2013, its own labels": "fer2013 by emotion",
    "FER2013, FER+ votes": "fer2013 by votes",
    "ExpW": "expw",
    "LFW": "lfw",
}
LEFT_OUT = {"--resume", "-j", "2"}
"""Words of a command that only tell how it was interrupted, and on how many cores it ran."""


def facts(name: str) -> dict[str, Any]:
    """What the .json beside a file says."""
    return dict(json.loads((WEIGHTS / f"{name}.json").read_text("utf-8")))


def commands() -> list[list[str]]:
    """The training commands in the card, each as words."""
    blocks = re.findall(r"```sh\n(.*?)```", CARD, re.S)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("annotate-train")]


def as_in_the_card(command: str) -> list[str]:
    """A .json's command without what only tells how it ran."""
    words = [word.removesuffix(".xz") for word in shlex.split(command)]
    return sorted(word for word in words if word not in LEFT_OUT)


@pytest.mark.parametrize("name", ["emotions", "detector", "faces"])
def test_the_command_is_the_one_that_made_the_file(name: str) -> None:
    """Word for word, but for where the data lay and how the training was interrupted."""
    (told,) = (words for words in commands() if words[-1] == f"{name}.keras")
    assert sorted(word.rstrip("/") for word in told) == as_in_the_card(facts(name)["command"])


def test_the_header_is_what_hugging_face_reads() -> None:
    """YAML between dashes: licence, tags, what it was trained on and measured by, of every data set that is told."""
    empty, header, body = CARD.split("---\n", 2)
    told = yaml.safe_load(header)
    assert (empty, body[:14]) == ("", "# Model card: ")
    assert (told["license"], told["library_name"], told["pipeline_tag"]) == ("other", "keras", "image-classification")
    assert set(facts("emotions")["data"]) <= set(told["datasets"])
    assert told["tags"] and {"accuracy", "recall", "f1"} == set(told["metrics"])


@pytest.mark.parametrize(("row", "data"), ROWS.items())
def test_the_figures_are_those_of_the_training(row: str, data: str) -> None:
    """Every cell of a row of the table, rounded."""
    (line,) = (line for line in CARD.splitlines() if line.startswith(f"| {row} |"))
    known = facts("emotions")["validation"][data]
    recalls = [f"{known['per_class'][label]['recall']:.2f}" for label in EMOTIONS]
    four = [f"{known[name]:.3f}" for name in ("accuracy", "mean_recall", "macro_f1", "ece")]
    assert [cell.strip() for cell in line.strip("|").split("|")][1:] == [f"{known['images']:,}", *four, *recalls]


def test_the_numbers_in_the_text_are_those_of_the_files() -> None:
    """Photographs, crops, windows, epochs, faces and shares stand in the sections as the .json has them."""
    emotions, detector, faces = (facts(name) for name in ("emotions", "detector", "faces"))
    sections = re.split(r"^#+ ", CARD, flags=re.M)
    text = {title: " ".join(section.split()) for section in sections for title in [section.split("\n")[0]]}
    of_detector, of_faces, of_glance = (
        next(words for title, words in text.items() if title.startswith(start))
        for start in ("The face detector", "The face verifier", "The glance")
    )
    parameters = load_network(read_card(EMOTION_MODEL)).count_params()
    assert f"{parameters / 1e6:.1f} M parameters" in CARD
    for name in ("expw", "lfw"):
        assert f"{emotions['training']['images'][name]:,}" in CARD
    training = detector["training"]
    windows = f"{training['windows']:,} windows of {training['window_size']} pixels"
    assert f"{training['epochs']} \N{MULTIPLICATION SIGN} {windows}" in of_detector
    for known, words in ((detector, of_detector), (faces, of_faces)):
        assert f"{known['training']['photographs']:,} photographs" in words
        assert f"{known['validation']['photographs']} photographs" in words
        assert f"{known['validation']['faces']} faces" in words
        assert f"{known['validation']['recall']:.0%}".replace("%", " %") in words
    assert f"{faces['training']['crops']:,} crops" in of_faces
    glance = faces["glance"]
    assert f"{glance['windows_trained_on']:,} windows" in of_glance
    assert f"{glance['share_that_passes']:.0%}".replace("%", " %") in of_glance
    assert f"{glance['share_of_faces_that_passes']:.1%}".replace("%", " %") in of_glance


def test_the_second_files_figures_are_those_of_its_json() -> None:
    """Accuracy, means and calibration of fer2013.keras, and on how many images."""
    known = facts("fer2013")["validation"]
    (section,) = (" ".join(part.split()) for part in CARD.split("\n# ") if part.startswith("The second file"))
    assert (
        f"labels, {known['images']:,} images: **accuracy {known['accuracy']:.1%}".replace("%", " %")
        + f", mean recall {known['mean_recall']:.3f}, macro-F1 {known['macro_f1']:.3f}, expected calibration error"
        f" {known['ece']:.3f}**"
    ) in section


def test_the_detectors_average_precision_is_that_of_its_json() -> None:
    """By the sizes of faces, and at both overlaps."""
    known = facts("detector")["validation"]["average_precision"]
    every, small, middle, large = (
        f"{known[f'IoU 0.35, {sizes} px']:.2f}" for sizes in ("40 to inf", "40 to 80", "80 to 160", "160 to inf")
    )
    strict = f"{known['IoU 0.5, 40 to inf px']:.2f}"
    assert (
        f"average precision {every} at an IoU of 0.35 ({small} for faces of 40 to 80 pixels, {middle} up to 160,"
        f" {large} above) and {strict} at 0.5."
    ) in " ".join(CARD.split())


@pytest.mark.parametrize("name", ["emotions", "faces"])
def test_the_json_is_of_this_file(name: str) -> None:
    """The .json names the digest of the .keras that the .onnx was made of."""
    digest = hashlib.sha256((WEIGHTS / f"{name}.keras").read_bytes()).hexdigest()
    assert digest.startswith(facts(name)["onnx"]["of"])
