"""Batch normalisation folded into convolutions computes what it did beside them."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.models.folding import fold

DRAW = np.random.default_rng(0)


def network(with_bias=True, group=1, read_twice=False):
    """A convolution, its batch normalisation and a ReLU; ``read_twice``: its sum, too."""
    tensors = {
        "w": DRAW.standard_normal((8, 4 // group, 3, 3)),
        "b": DRAW.standard_normal(8),
        "scale": DRAW.uniform(0.5, 2, 8),
        "shift": DRAW.standard_normal(8),
        "mean": DRAW.standard_normal(8),
        "variance": DRAW.uniform(0.1, 3, 8),
    }
    constants = [numpy_helper.from_array(v.astype(np.float32), k) for k, v in tensors.items()]
    inputs = ["x", "w", "b"] if with_bias else ["x", "w"]
    names = ["conv", "scale", "shift", "mean", "variance"]
    nodes = [
        helper.make_node("Conv", inputs, ["conv"], group=group, pads=[1] * 4),
        helper.make_node("BatchNormalization", names, ["bn"], epsilon=1e-3),
        helper.make_node("Relu", ["bn"], ["relu"]),
        helper.make_node("Add", ["relu", "conv" if read_twice else "bn"], ["y"]),
    ]
    shapes = (("x", 4), ("y", 8))
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, 6, 6]) for n, c in shapes)
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 10
    return model


def answers(model):
    x = np.random.default_rng(1).standard_normal((2, 4, 6, 6)).astype(np.float32)
    return ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})[-1]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("group", [1, 4])
def test_answers_stay(with_bias, group):
    model = network(with_bias, group)
    before = answers(model)
    fold(model)
    onnx.checker.check_model(model, full_check=True)
    assert [x.op_type for x in model.graph.node] == ["Conv", "Relu", "Add"]
    assert len(model.graph.initializer) == 2
    assert np.abs(answers(model) - before).max() < 1e-5


def test_what_something_else_reads_stays_as_it_is():
    model = network(read_twice=True)
    fold(model)
    assert [x.op_type for x in model.graph.node] == ["Conv", "BatchNormalization", "Relu", "Add"]


def test_what_the_body_of_a_loop_or_branch_reads_stays():
    model = network()
    inner = helper.make_node("Add", ["conv", "only.inside"], ["more"])
    more = helper.make_tensor_value_info("more", TensorProto.FLOAT, ["n", 8, 6, 6])
    body = helper.make_graph([inner], "body", [], [more])
    branch = helper.make_node("If", ["always"], ["z"], then_branch=body, else_branch=body)
    model.graph.node.append(branch)
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 8, 6, 6])
    model.graph.output.append(z)
    for name, value in (("always", np.array(True)), ("only.inside", np.ones(1, np.float32))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.checker.check_model(model, full_check=True)
    before = answers(model)
    fold(model)
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(answers(model), before)
    assert "BatchNormalization" in [x.op_type for x in model.graph.node]  # its input is read there
