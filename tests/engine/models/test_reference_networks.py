from __future__ import annotations

import hashlib

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.signal import correlate

from engine.models import counting, weights
from engine.models.reference import network_of


@pytest.mark.parametrize(
    ("kind", "parameters_m", "operations_g", "classes"),
    [
        ("mobilenet_v1", 4.2, 1.138, 1001),
        ("resnet50_v1_5", 25.6, 8.2, 1000),
        ("resnet50_v1_0", 25.6, 7.716, 1000),  # 3.858 G multiplications
    ],
)
def test_sizes_are_the_published_ones(kind, parameters_m, operations_g, classes):
    """Paper, Table I. The published 1.138 is twice 569 M, rounded before it was doubled."""
    network = network_of(kind)
    model = network.model(weights.seeded(network, 0))
    onnx.checker.check_model(model, full_check=True)
    assert round(counting.parameters(model) / 1e6, 1) == parameters_m
    assert counting.operations(model) / 1e9 == pytest.approx(operations_g, rel=3e-3)
    assert [d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim][1] == classes


def test_mobilenet_has_569_million_multiplications():
    network = network_of("mobilenet_v1")
    operations = counting.operations(network.model(weights.seeded(network, 0)))
    assert round(operations / 2 / 1e6) == 569


@pytest.mark.parametrize(
    ("kind", "kernel", "conv"), [("resnet50_v1_5", 3, "conv2"), ("resnet50_v1_0", 1, "conv1")]
)
def test_resnet50_v1_5_has_its_strides_in_the_3x3_and_v1_in_the_first_1x1(kind, kernel, conv):
    strided = [
        (node.name, helper.get_node_attr_value(node, "kernel_shape"))
        for node in network_of(kind).nodes
        if node.op_type == "Conv" and helper.get_node_attr_value(node, "strides") == [2, 2]
    ]
    inside = [(name, shape) for name, shape in strided if ".conv" in name]
    assert [shape for _, shape in inside] == [[kernel, kernel]] * 3
    assert all(name.endswith(conv) for name, _ in inside)


def test_an_open_shape_gives_no_operation_count():
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kernel = numpy_helper.from_array(np.zeros((4, 3, 1, 1), np.float32), "k")
    node = helper.make_node("Conv", ["x", "k"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", [x], [y], [kernel]))
    assert counting.operations(model) is None
    assert counting.parameters(model) == 12


@pytest.mark.parametrize(
    ("kind", "name", "digest"),
    [
        ("mobilenet_v1", "conv.weight", "a2400ea7a6f1d99b"),
        ("mobilenet_v1", "blocks.3.depthwise.weight", "f5066de0a5ea3aa1"),
        ("mobilenet_v1", "blocks.2.depthwise.weight", "fe79d4048b5bed68"),
        ("mobilenet_v1", "blocks.12.pointwise.weight", "cccf211948848282"),
        ("resnet50_v1_5", "conv1.weight", "ab7d6cb2d8f37dd9"),
        ("resnet50_v1_5", "layer3.4.conv2.weight", "2c0ec5ff5e9e4ec6"),
        ("resnet50_v1_5", "layer2.0.downsample.0.weight", "3c929f2ee6103458"),
    ],
)
def test_seeded_weights_are_the_same_bits_everywhere(kind, name, digest):
    value = weights.seeded(network_of(kind), 0)[name]
    assert hashlib.sha256(value.astype("<f4").tobytes()).hexdigest()[:16] == digest


def test_seeds_differ_and_repeat():
    network = network_of("mobilenet_v1")
    first, again, other = (weights.seeded(network, seed)["conv.weight"] for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).any()
    assert abs(float(first.var()) - 2 / 27) < 0.01


def run_from(network, values, names, image):
    """The tensors ``names`` of the network, as ONNX Runtime computes them."""
    model = network.model(values)
    model.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names
    )
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(list(names), {"input": image})


def convolve(x, kernel, stride, pads, group=1):
    """Convolution of x [c, h, w] by scipy's plane-wise correlation."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right)))
    share = len(x) // group
    planes = [
        correlate(x[o * share : (o + 1) * share] if group > 1 else x, k, "valid", "direct")[0]
        for o, k in enumerate(kernel.astype(np.float64))
    ]
    return np.stack(planes)[:, ::stride, ::stride]


def normalise(x, values, name, epsilon):
    scale, shift, mean, variance = (
        values[f"{name}.{part}"][:, None, None].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + epsilon) * scale + shift


def unlike_neutral(network):
    """Seeded weights whose batch norms are not neutral, so that a slip in one would show."""
    rng, values = np.random.default_rng(3), weights.seeded(network, 0)
    for name in network.filled:
        values[name] = rng.uniform(0.5, 1.5, values[name].shape).astype(np.float32)
    return values


@pytest.fixture
def image():
    return np.random.default_rng(0).standard_normal((1, 3, 224, 224)).astype(np.float32)


def test_a_separable_block_recomputed(image):
    network = network_of("mobilenet_v1")
    v = unlike_neutral(network)
    source, found = run_from(
        network, v, ["blocks.1.pointwise_bn.relu6", "blocks.2.pointwise_bn.relu6"], image
    )
    x = convolve(source[0], v["blocks.2.depthwise.weight"], 2, (0, 0, 1, 1), group=64)
    x = np.clip(normalise(x, v, "blocks.2.depthwise_bn", 1e-3), 0, 6)
    x = np.einsum("oi,ihw->ohw", v["blocks.2.pointwise.weight"][:, :, 0, 0], x)
    x = np.clip(normalise(x, v, "blocks.2.pointwise_bn", 1e-3), 0, 6)
    assert x.shape == (128, 56, 56)
    np.testing.assert_allclose(found[0], x, atol=1e-3)


def test_a_bottleneck_block_recomputed(image):
    network = network_of("resnet50_v1_5")
    v = unlike_neutral(network)
    source, found = run_from(network, v, ["layer3.5.add.relu", "layer4.0.add.relu"], image)
    scale = float(np.abs(source).max())
    x, p = source[0].astype(np.float64), "layer4.0"
    y = np.einsum("oi,ihw->ohw", v[f"{p}.conv1.weight"][:, :, 0, 0], x)
    y = np.maximum(normalise(y, v, f"{p}.bn1", 1e-5), 0)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(y, ((0, 0), (1, 1), (1, 1))), (3, 3), axis=(1, 2)
    )[:, ::2, ::2]
    y = np.einsum("oikl,ihwkl->ohw", v[f"{p}.conv2.weight"], windows, optimize=True)
    y = np.maximum(normalise(y, v, f"{p}.bn2", 1e-5), 0)
    y = np.einsum("oi,ihw->ohw", v[f"{p}.conv3.weight"][:, :, 0, 0], y)
    y = normalise(y, v, f"{p}.bn3", 1e-5)
    skip = np.einsum("oi,ihw->ohw", v[f"{p}.downsample.0.weight"][:, :, 0, 0], x[:, ::2, ::2])
    y = np.maximum(y + normalise(skip, v, f"{p}.downsample.1", 1e-5), 0)
    assert y.shape == (2048, 7, 7)
    np.testing.assert_allclose(found[0], y, rtol=1e-3, atol=1e-4 * scale)


def test_outputs_are_logits_and_their_arg_max(image):
    network = network_of("mobilenet_v1")
    pair = np.concatenate([image, -image])
    model = network.model(weights.seeded(network, 0))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    logits, classes = session.run(["logits", "classes"], {"input": pair})
    assert logits.shape == (2, 1001) and classes.dtype == np.int64
    assert (classes == logits.argmax(axis=1)).all()
