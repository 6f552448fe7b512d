"""Products with weights in 4 bits, beside the same computed in NumPy."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.models import int4


def network(weight, looped=False):
    """x @ weight, in a loop's body or not; the weight is read by nothing else."""
    product = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    values = [numpy_helper.from_array(weight, "w")]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(weight)])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", weight.shape[1]])
    graph = helper.make_graph([product], "g", [x], [y], values)
    if looped:
        once = numpy_helper.from_array(np.array(True), "once")
        graph = helper.make_graph([product], "body", [], [y], values)
        other = helper.make_graph([product], "other", [], [y], values)
        branch = helper.make_node("If", ["once"], ["y"], then_branch=graph, else_branch=other)
        graph = helper.make_graph([branch], "g", [x], [y], [once])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def read(weight):
    """``weight`` as its 4 bits say it."""
    stored, scales = int4.packed(weight)
    counts = np.stack([stored & 15, stored >> 4], axis=3).reshape(*scales.shape, int4.BLOCK)
    values = (counts.astype(np.float32) - 8) * scales[..., None]
    return values.reshape(len(scales), -1)[:, : len(weight)].T


@pytest.mark.parametrize("inputs", [32, 64, 50])
def test_each_number_is_met_within_a_step_of_its_block(inputs):
    weight = np.random.default_rng(0).normal(size=(inputs, 6)).astype(np.float32)
    close = read(weight)
    assert close.shape == weight.shape
    for start in range(0, inputs, 32):
        block = slice(start, start + 32)
        largest = np.abs(weight[block]).max(axis=0)
        error = np.abs(close[block] - weight[block])
        assert (error <= largest / 8 * 1.001).all()  # 16 steps: one sign has no eighth
        assert (error.min(axis=0) < 1e-6).all()  # the largest is met


@pytest.mark.parametrize("looped", [False, True])
def test_the_runtime_computes_with_what_was_stored(looped):
    draw = np.random.default_rng(1)
    weight = draw.normal(size=(50, 7)).astype(np.float32)
    x = draw.normal(size=(3, 50)).astype(np.float32)
    model = network(weight, looped)
    assert int4.lighten(model) == (2 if looped else 1)
    assert model.ByteSize() < network(weight, looped).ByteSize()
    session = onnxruntime.InferenceSession(model.SerializeToString())
    np.testing.assert_allclose(
        session.run(None, {"x": x})[0], x @ read(weight), rtol=1e-4, atol=1e-5
    )


def test_what_is_no_constant_matrix_stays():
    model = network(np.ones((4, 4), np.float32))
    model.graph.node[0].input[1] = "x"
    before = onnx.ModelProto.FromString(model.SerializeToString())
    assert int4.lighten(model) == 0 and model == before
