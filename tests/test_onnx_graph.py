"""ONNX files from strangers."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from batch.detection.networks import OnnxFile
from batch.errors import NetworkError
from model.bundle import DETECTOR_MODEL, EMOTION_MODEL, FACE_MODEL
from model.errors import ModelError
from model.onnx_graph import check_onnx


def network(
    *nodes: onnx.NodeProto, weights: object = (), labels: int = 2, domain: str | None = None
) -> onnx.ModelProto:
    """A network from pixels to "probabilities"."""
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 48, 48, 1])
    answer = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["N", labels])
    graph = helper.make_graph(list(nodes), "stranger", [pixels], [answer], weights)
    domains = [helper.make_opsetid(name, 13) for name in ("", domain) if name is not None]
    return helper.make_model(graph, opset_imports=domains, ir_version=8)


def softmax(labels: int = 2) -> tuple[list[onnx.NodeProto], list[TensorProto]]:
    weights = np.random.default_rng(0).normal(0, 1e-3, (48 * 48, labels)).astype("f4")
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    return nodes, [numpy_helper.from_array(weights, "weights")]


def test_what_ships_and_what_a_stranger_may_bring_is_let_through(tmp_path: Path) -> None:
    """Networks of ONNX's own operators with their weights inside."""
    nodes, weights = softmax()
    onnx.save(network(*nodes, weights=weights), tmp_path / "x.onnx")
    check_onnx(tmp_path / "x.onnx", 2)
    check_onnx(EMOTION_MODEL.with_suffix(".onnx"), 7)
    check_onnx(FACE_MODEL.with_suffix(".onnx"), 2)
    check_onnx(DETECTOR_MODEL)


def outside(tmp_path: Path) -> onnx.ModelProto:
    """Weights that are another file's bytes."""
    nodes, weights = softmax()
    (tmp_path / "secret").write_bytes(bytes(48 * 48 * 8))
    weights[0].ClearField("raw_data")
    weights[0].data_location = TensorProto.EXTERNAL
    weights[0].external_data.add(key="location", value="secret")
    return network(*nodes, weights=weights)


def foreign(_: Path) -> onnx.ModelProto:
    """An operator of ONNX Runtime's own, hidden in a branch, that runs what another file says."""
    inner = helper.make_node("EPContext", ["pixels"], ["inner"], domain="com.microsoft", ep_cache_context="/etc/passwd")
    branch = helper.make_graph([inner], "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, None)])
    yes = numpy_helper.from_array(np.array(True), "yes")
    either = helper.make_node("If", ["yes"], ["probabilities"], then_branch=branch, else_branch=branch)
    return network(either, weights=[yes], domain="com.microsoft")


def wrong_shape(_: Path) -> onnx.ModelProto:
    nodes, weights = softmax(labels=3)
    return network(*nodes, weights=weights, labels=3)


def no_probabilities(_: Path) -> onnx.ModelProto:
    nodes, weights = softmax()
    nodes[-1] = helper.make_node("Identity", ["logits"], ["probabilities"])
    return network(*nodes, weights=weights)


def too_much(_: Path) -> onnx.ModelProto:
    """Answers that are in proportion and add up to 1.5."""
    nodes, weights = softmax()
    nodes[-1] = helper.make_node("Softmax", ["logits"], ["shares"], axis=1)
    nodes.append(helper.make_node("Mul", ["shares", "half_more"], ["probabilities"]))
    return network(*nodes, weights=[*weights, numpy_helper.from_array(np.array(1.5, "f4"), "half_more")])


def greedy(_: Path) -> onnx.ModelProto:
    """A few bytes that want a terabyte."""
    shape = numpy_helper.from_array(np.array([2**40]), "shape")
    return network(helper.make_node("ConstantOfShape", ["shape"], ["probabilities"]), weights=[shape])


@pytest.mark.parametrize(
    ("stranger", "reason"),
    [
        (outside, "lies in another file"),
        (foreign, "com.microsoft.EPContext"),
        (wrong_shape, "expected output"),
        (no_probabilities, "add up to 1"),
        (too_much, "add up to 1"),
        (greedy, "no network to be run here"),
    ],
)
def test_what_is_refused(stranger: object, reason: str, tmp_path: Path) -> None:
    """Other files, foreign operators, wrong shapes, nonsense and greed are refused with the reason."""
    onnx.save(stranger(tmp_path), tmp_path / "x.onnx")
    with pytest.raises(ModelError, match=reason):
        check_onnx(tmp_path / "x.onnx", 2)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    """A file beyond the limit is refused by its size."""
    with (tmp_path / "x.onnx").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ModelError, match="at most 100 MB"):
        check_onnx(tmp_path / "x.onnx")


def test_damaged_files_break_nothing(tmp_path: Path) -> None:
    """With bits flipped and ends cut off, a file is refused or answers; nothing crashes."""
    whole, rng = (FACE_MODEL.with_suffix(".onnx")).read_bytes(), np.random.default_rng(0)
    file, refused = tmp_path / "x.onnx", 0
    for number in range(60):
        damaged = bytearray(whole[: rng.integers(len(whole))] if number % 3 == 0 else whole)
        for place in rng.integers(0, min(len(damaged), 20_000) or 1, 8):
            damaged[place : place + 1] = rng.bytes(1)
        file.write_bytes(damaged)
        try:
            answers = OnnxFile(file).run(np.zeros((2, 48, 48, 1), np.float32))
        except NetworkError:
            refused += 1
        else:
            assert answers
    assert refused > 20
