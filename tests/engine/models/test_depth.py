"""``model.depth``: versions of the reference networks with fewer blocks or recurrent layers."""

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from engine import config
from engine.errors import ConfigError
from engine.models import check, weights
from engine.models.reference import network_of, variant_of


def nodes(graph):
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)


@pytest.mark.parametrize(
    ("kind", "size", "depth", "operator", "count", "whole"),
    [
        ("resnet50_v1_5", 64, 0.5, "Conv", 1 + 3 * (2 + 2 + 3 + 2) + 4, 53),
        ("resnet50_v1_0", 64, 0.01, "Conv", 1 + 3 * 4 + 4, 53),
        ("mobilenet_v1", 64, 0.4, "Conv", 1 + 2 * 10, 27),
        ("ssd_mobilenet_v1", 96, 0.2, "Conv", 1 + 2 * 9 + 2 * 4 + 2 * 6, 47),
        ("ssd_mobilenet_v2", 96, 0.3, "Conv", 76 - 3 * 10, 76),
        ("gnmt", None, 0.5, "LSTM", 2 + 2, 8),
        ("gnmt", None, 0.01, "LSTM", 2 + 2, 8),
    ],
)
def test_blocks_that_are_alike_become_fewer(kind, size, depth, operator, count, whole):
    found = []
    for own in (depth, 1.0):
        network = network_of(kind, 0.0625, size, own)
        model = network.model(weights.seeded(network, 0))
        onnx.checker.check_model(model, full_check=True)
        found.append(Counter(node.op_type for node in nodes(model.graph))[operator])
        session = onnxruntime.InferenceSession(model.SerializeToString())
        feed = {
            "input": np.zeros((2, 3, size or 0, size or 0), np.float32),
            "image": np.arange(2, dtype=np.float32),
            "tokens": np.ones((2, 3), np.int32),
            "length": np.full(2, 3, np.int32),
        }
        feed = {x.name: feed[x.name] for x in session.get_inputs()}
        assert len(session.run([network.response], feed)[0]) == 2
    assert found == [count, whole]


def test_ssd_resnet34_has_fewer_blocks_of_the_same_feature_maps():
    shallow, whole = (network_of("ssd_resnet34", 0.125, 448, depth) for depth in (0.3, 1.0))
    blocks = [{x.split(".conv")[0] for x in n.shapes if ".conv1" in x} for n in (shallow, whole)]
    assert [len(x) for x in blocks] == [1 + 1 + 2, 3 + 4 + 6]
    assert blocks[0] < blocks[1]
    heads = [{k: v for k, v in n.shapes.items() if k.startswith("heads")} for n in (shallow, whole)]
    assert heads[0] == heads[1]


def test_every_output_says_so():
    assert network_of("resnet50_v1_5", 0.5, 64, 0.25).name == "resnet50_v1_5_w0.5_d0.25_64"
    assert variant_of("resnet50_v1_5", 0.5, 64, 0.25) == "width 0.5, depth 0.25, 64x64"
    own = config.Model("onnx", "mine", path="mine.onnx", depth=0.5)
    with pytest.raises(ConfigError, match=r"model\.depth"):
        check(own)
