"""What a processor without VNNI makes of 8-bit products, and what is done against it."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.models.quantise import quantise
from engine.models.saturation import products_saturate, unsigned, weight_ranges

CHANNELS, SIDE = 16, 5
DEPTHWISE, DENSE = (CHANNELS, 1, 3, 3), (CHANNELS, CHANNELS, 1, 1)


def conv(weight):
    """A network of one convolution [n, CHANNELS, SIDE, SIDE], with a positive bias and a ReLU."""
    group, side = CHANNELS // weight.shape[1], weight.shape[-1]
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, CHANNELS, SIDE, SIDE])
        for name in ("x", "out")
    ]
    node = helper.make_node(
        "Conv",
        ["x", "w"],
        ["y"],
        "conv",
        group=group,
        kernel_shape=[side] * 2,
        pads=[side // 2] * 4,
    )
    nodes = [node, helper.make_node("Relu", ["y"], ["out"], "relu")]
    weights = [numpy_helper.from_array(weight, "w")]
    graph = helper.make_graph(nodes, "conv", info[:1], info[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def quantised(weight, range_of):
    """The integers that ``weight`` becomes with the ranges that ``weight_ranges`` found."""
    steps = np.array([each["rmax"] for each in range_of]) / 127
    return np.round(weight.reshape(len(weight), -1) / steps[:, None]).astype(int)


@pytest.mark.parametrize(("kind", "bits"), [("alike", (63, 73)), ("mixed", (63, 127))])
def test_two_products_fit_into_16_bits_and_no_step_is_wasted(kind, bits):
    draw = np.random.default_rng(5)
    weight = draw.uniform(0.9, 1, DENSE) if kind == "alike" else draw.normal(size=DENSE)
    weight = weight.astype(np.float32)
    (ranges,) = weight_ranges(conv(weight), []).values()
    rows = np.sort(quantised(weight, ranges), axis=1)
    most = 255 * rows[:, -2:].clip(0).sum(axis=1)
    least = 255 * rows[:, :2].clip(None, 0).sum(axis=1)
    assert most.max() < 2**15 and least.min() >= -(2**15)
    assert np.maximum(most, -least).min() > 255 * 124  # 7 bits have 126 at the most
    largest = np.abs(rows).max(axis=1)
    assert bits[0] <= largest.min() and largest.max() <= bits[1]


def test_a_weight_that_stands_out_keeps_all_its_steps():
    weight = np.full(DENSE, -0.001, np.float32)
    weight[:, 3] = 1
    weight[0] = 0
    (ranges,) = weight_ranges(conv(weight), []).values()
    assert [each["rmax"] for each in ranges] == [0] + [1] * (CHANNELS - 1)


def test_what_adds_up_in_32_bits_or_is_no_constant_keeps_its_own_range():
    depthwise = np.ones(DEPTHWISE, np.float32)
    assert weight_ranges(conv(depthwise), []) == {}
    assert weight_ranges(conv(np.ones(DENSE, np.float32)), ["conv"]) == {}
    model = conv(np.ones(DENSE, np.float32))
    del model.graph.initializer[:]
    assert weight_ranges(model, []) == {}


@pytest.mark.parametrize("shape", [DEPTHWISE, DENSE])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_largest_activations_and_weights_add_up(runtime, shape, tmp_path):
    """On any processor: 8 bits where it can, what ``weight_ranges`` leaves where it cannot."""
    pytest.importorskip(runtime)
    import onnx

    weight = np.ones(shape, np.float32)
    image = np.ones((1, CHANNELS, SIDE, SIDE), np.float32)
    source, target = tmp_path / "fp32.onnx", tmp_path / "int8.onnx"
    onnx.save(conv(weight), str(source))
    quantise(source, target, [{"x": image}], products_saturate(), Cache(tmp_path))
    if runtime == "onnxruntime":
        (found,) = onnxruntime.InferenceSession(target).run(None, {"x": image})
    else:
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        (found,) = openvino.Core().compile_model(str(target), "CPU", exact)([image]).values()
    inner = found[0, :, 1:-1, 1:-1]
    np.testing.assert_allclose(inner, np.prod(shape[1:]), rtol=0.02)


def test_unsigned_weights_are_the_same_numbers():
    signed = np.array([[[-127, 0, 127]]], np.int8)
    names = ["w", "r", "wz", "rz"]
    stored = [
        numpy_helper.from_array(signed if name in "wr" else signed * 0, name) for name in names
    ]
    inputs = ["x", "w", "r", "", "", "", "", "", "ws", "wz", "rs", "rz"]
    layer = helper.make_node("DynamicQuantizeLSTM", inputs, ["y"], domain="com.microsoft")
    body = helper.make_graph([layer], "body", [], [], stored)
    loop = helper.make_node("Loop", ["n", "", "x"], ["z"], body=body)
    model = helper.make_model(helper.make_graph([loop], "g", [], []))
    unsigned(model)
    (inside,) = (attribute.g for attribute in model.graph.node[0].attribute)
    weights = {t.name: numpy_helper.to_array(t) for t in inside.initializer}
    assert {value.dtype.name for value in weights.values()} == {"uint8"}
    for name in "wr":
        kept = weights[name].astype(int) - weights[f"{name}z"]
        np.testing.assert_array_equal(kept, signed)
