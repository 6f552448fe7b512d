from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.models import rounding
from engine.models.quantise import quantise
from engine.models.rounding import round_weights, rounded
from engine.models.saturation import weight_ranges

SHAPES = {"dense": (16, 16, 3, 3), "depthwise": (16, 1, 3, 3), "pointwise": (8, 16, 1, 1)}


def network(weight, **attributes):
    """A convolution of x [n, 16, side, side] with a ReLU."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16, None, None])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", len(weight), None, None])
    own = {"group": 16 // weight.shape[1], "kernel_shape": list(weight.shape[2:])}
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", **own | attributes),
        helper.make_node("Relu", ["a"], ["y"], "activation"),
    ]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def images():
    """Channels that go together, and so do neighbours, as in images [8, 16, 12, 12]."""
    draw = np.random.default_rng(1)
    common = draw.standard_normal((8, 1, 3, 3)).repeat(4, axis=2).repeat(4, axis=3)
    return np.float32(1 + common + 0.2 * draw.standard_normal((8, 16, 12, 12)))


def drawn(kind):
    return np.random.default_rng(2).standard_normal(SHAPES[kind]).astype(np.float32)


def weights_of(model):
    (tensor,) = [t for t in model.graph.initializer if t.name == "w"]
    return numpy_helper.to_array(tensor)


def answered(model, images):
    """What the convolution makes of ``images``."""
    session = rounding.onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": images})[0]


@pytest.mark.parametrize("attributes", [{}, {"pads": [1, 0, 2, 1], "strides": [2, 2]}])
@pytest.mark.parametrize("kind", SHAPES)
def test_errors_cancel_that_add_up_with_the_nearest_steps(kind, attributes, images):
    weight = drawn(kind)
    steps = np.abs(weight).max(axis=(1, 2, 3), keepdims=True) / 127
    model = network(weight, **attributes)
    right = answered(model, images[4:])
    nearest = answered(network(np.rint(weight / steps) * steps, **attributes), images[4:])
    round_weights(model, [], [{"x": images[:4]}], {})
    error = [np.square(found - right).mean() for found in (answered(model, images[4:]), nearest)]
    assert error[0] < (0.8 if kind == "depthwise" else 0.5) * error[1]


@pytest.mark.parametrize("saturating", [False, True])
@pytest.mark.parametrize("kind", SHAPES)
def test_each_weight_takes_a_step_beside_it_and_the_file_holds_it(
    kind, saturating, images, tmp_path
):
    """So a channel's largest weight stays, and what two products add up to within its bounds."""
    weight = drawn(kind)
    model = network(weight)
    onnx.save(model, tmp_path / "fp32.onnx")
    ranges = weight_ranges(model, []) if saturating else {}
    reach = [x["rmax"] for x in ranges["w"]] if ranges else np.abs(weight).max(axis=(1, 2, 3))
    steps = np.reshape(reach, (-1, 1, 1, 1)) / 127
    round_weights(model, [], [{"x": images}], ranges)
    exact, found = weight / steps, weights_of(model) / steps
    np.testing.assert_allclose(found, np.rint(found), atol=1e-4)
    assert np.abs(found - exact).max() < 1 + 1e-3
    assert (np.rint(found) != np.rint(exact)).any()
    target = tmp_path / "int8.onnx"
    feeds = [{"x": images}]
    quantise(tmp_path / "fp32.onnx", target, feeds, saturating, Cache(tmp_path), gptq=True)
    (stored,) = [t for t in onnx.load(target).graph.initializer if t.name == "w_quantized"]
    np.testing.assert_array_equal(numpy_helper.to_array(stored), np.rint(found))


def test_many_inputs_are_rounded_in_blocks_as_at_once(monkeypatch):
    draw = np.random.default_rng(3)
    weight = draw.standard_normal((6, 50, 1, 1)).astype(np.float32)
    x = draw.standard_normal((200, 50)) + draw.standard_normal((200, 1))
    steps, moments = np.full(6, 0.05), (x.T @ x)[None]
    whole = rounded(weight, steps, moments)
    monkeypatch.setattr(rounding, "BLOCK", 7)
    np.testing.assert_array_equal(rounded(weight, steps, moments), whole)


def test_what_is_kept_or_read_by_something_else_stays_as_it_is(images):
    weight, feeds = drawn("dense"), [{"x": images}]
    model = network(weight)
    round_weights(model, ["conv"], feeds, {})
    model.graph.node.append(helper.make_node("Abs", ["w"], ["size"], "other"))
    round_weights(model, [], feeds, {})
    np.testing.assert_array_equal(weights_of(model), weight)


def test_channels_and_inputs_that_are_all_zero_stay_so(images):
    weight = drawn("dense")
    weight[2] = 0
    model = network(weight)
    round_weights(model, [], [{"x": images * 0}], {})
    found = weights_of(model)
    assert np.isfinite(found).all() and not found[2].any()


def test_large_samples_are_looked_at_as_far_as_they_fit(images, monkeypatch):
    """Those beyond the bound change nothing, and one is looked at in any case."""
    noise, found = np.random.default_rng(4).normal(scale=9, size=images[:1].shape), []
    noise = noise.astype(np.float32)
    for most, feeds in (
        (3 * images[:1].nbytes, [{"x": images[:2]}, {"x": images[2:]}]),
        (3 * images[:1].nbytes, [{"x": images[:2]}, {"x": noise}]),
        (3 * images[:1].nbytes, [{"x": images[:3]}, {"x": 1 - images}]),
        (1, [{"x": images}]),
    ):
        monkeypatch.setattr(rounding, "SAMPLES_BYTES", most)
        model = network(drawn("pointwise"))
        round_weights(model, [], feeds, {})
        found.append(weights_of(model))
    np.testing.assert_array_equal(found[0], found[2])
    assert (found[0] != found[1]).any() and np.isfinite(found[3]).all()
