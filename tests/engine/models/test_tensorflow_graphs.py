"""Frozen graphs of TensorFlow, written here byte by byte as protocol buffers are."""

import re

import numpy as np
import pytest

from engine.errors import ConfigError
from engine.models import tensorflow, weights
from engine.models.reference import network_of

FLOAT, INT32 = 1, 3
STATISTICS = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}


def varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def field(number, value):
    if isinstance(value, int):
        return varint(8 * number) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(8 * number + 2) + varint(len(content)) + content


def constant(name, array, dtype=FLOAT, content=None):
    """A node that is ``array``, or with ``content`` the bytes of another field and number."""
    shape = b"".join(field(2, field(1, int(side))) for side in array.shape)
    tensor = field(1, dtype) + field(2, shape) + (content or field(4, array.tobytes()))
    value = field(5, field(1, "value") + field(2, field(8, tensor)))
    kind = field(5, field(1, "dtype") + field(2, field(6, dtype)))
    return field(1, field(1, name) + field(2, "Const") + kind + value)


def graph(tensors):
    other = field(1, field(1, "sum") + field(2, "Add") + field(3, "a") + field(3, "b"))
    return other + b"".join(constant(name, array) for name, array in tensors.items())


def as_tensorflow(values):
    """SSD-MobileNet-v2's tensors as TensorFlow's detection models name and lay them out."""
    found = {}
    for name, value in values.items():
        layer, _, kind = name.rpartition(".")
        if head := re.fullmatch(r"heads\.(\d)\.(classes|boxes)", layer):
            what = {"classes": "Class", "boxes": "BoxEncoding"}[head[2]]
            count = {"classes": 91, "boxes": 4}[head[2]]
            rows = value.reshape(count, -1, *value.shape[1:]).swapaxes(0, 1).reshape(value.shape)
            ending = {"weight": "weights", "bias": "biases"}[kind]
            rows = rows.transpose(2, 3, 1, 0) if kind == "weight" else rows
            found[f"BoxPredictor_{head[1]}/{what}Predictor/{ending}"] = rows
            continue
        place = re.sub(r"_bn$", "", layer)
        if block := re.fullmatch(r"blocks\.(\d+)\.(\w+)", place):
            number = f"_{block[1]}" if block[1] != "0" else ""
            theirs = f"expanded_conv{number}/{block[2]}"
        elif extra := re.fullmatch(r"extras\.(\d)\.(\w+)", place):
            part, sides = (1, "1x1") if extra[2] == "0" else (2, "3x3_s2")
            ending = "_depthwise" if extra[2] == "depthwise" else ""
            theirs = f"layer_19_{part}_Conv2d_{int(extra[1]) + 1}_{sides}_256{ending}"
        else:
            theirs = {"conv": "Conv", "conv_1": "Conv_1"}[place]
        if layer.endswith("_bn"):
            theirs, value = f"{theirs}/BatchNorm/{STATISTICS[kind]}", value
        elif layer.endswith("depthwise"):
            theirs, value = f"{theirs}/depthwise_weights", value.transpose(2, 3, 0, 1)
        else:
            theirs, value = f"{theirs}/weights", value.transpose(2, 3, 1, 0)
        found[f"FeatureExtractor/MobilenetV2/{theirs}"] = value
    return found


def test_a_detector_comes_back_as_it_was(tmp_path):
    network = network_of("ssd_mobilenet_v2", 0.125, 96)
    draw = np.random.default_rng(3)
    values = {n: draw.normal(size=s).astype(np.float32) for n, s in network.shapes.items()}
    theirs = as_tensorflow(values)
    assert len(theirs) == len(values)
    file = tmp_path / "net.pb"
    file.write_bytes(graph({**theirs, "Generator/anchors": np.ones(6, np.float32)}))
    found = weights.from_file(network, file)
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    gone = "FeatureExtractor/MobilenetV2/expanded_conv_2/project/weights"
    file.write_bytes(graph({name: array for name, array in theirs.items() if name != gone}))
    with pytest.raises(ConfigError, match=r"tensor blocks\.2\.project\.weight .* is missing"):
        weights.from_file(network, file)


def test_what_is_no_float_tensor_is_left_out(tmp_path):
    file = tmp_path / "net.pb"
    numbers = np.arange(3, dtype=np.float32)
    listed = field(5, numbers.tobytes())
    scalar = constant("epsilon", np.float32(1))
    whole = constant("axes", numbers.astype(np.int32), INT32)
    file.write_bytes(constant("kept", numbers, content=listed) + scalar + whole)
    assert {n: v.tolist() for n, v in tensorflow.read_graph(file).items()} == {"kept": [0, 1, 2]}


def test_damaged_graphs_are_refused(tmp_path):
    network, file = network_of("ssd_mobilenet_v2", 0.125, 96), tmp_path / "net.pb"
    sound = constant("a", np.ones((2, 3), np.float32))
    longer = constant("a", np.ones((2, 3), np.float32), content=field(4, bytes(20)))
    for content in (b"", b"no graph", sound[:-1], longer, sound + b"\xff"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="cannot be read as a TensorFlow graph"):
            weights.from_file(network, file)
