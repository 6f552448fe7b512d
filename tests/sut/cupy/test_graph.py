"""A network read from its file computes what ONNX Runtime computes, in fewer layers."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engine.models import ssd_mobilenet_v1, ssd_resnet34, weights
from sut.bench.layers import reference
from sut.cupy.detector import level_firsts
from sut.cupy.files import read
from sut.cupy.layers import Convolution

from . import plain


@pytest.mark.parametrize("name", ["resnet", "mobilenet"])
def test_the_fused_layers_compute_what_the_file_does(name, networks, images):
    network = read(networks[name], "classes")
    expected = reference(networks[name], [x.name for x in network.layers], images[:2])
    made = plain.outputs(network, images[:2])
    for layer in network.layers:
        wanted = expected[layer.name]
        apart = np.linalg.norm(made[layer.name].reshape(wanted.shape) - wanted)
        assert apart < 1e-4 * np.linalg.norm(wanted), layer.name
        assert network.shapes[layer.name] == (*wanted.shape[1:], 1, 1)[:3]


def test_everything_elementwise_is_part_of_a_convolution(networks):
    layers = read(networks["resnet"], "classes").layers
    assert len(layers) == 53 + 3
    assert sum(isinstance(x, Convolution) and x.residual is not None for x in layers) == 16
    assert len(read(networks["mobilenet"], "classes").layers) == 27 + 2


def test_a_quantised_network_brings_its_ranges(networks, images, tmp_path):
    from engine.cache import Cache
    from engine.models.quantise import quantise

    target = tmp_path / "int8.onnx"
    quantise(networks["resnet"], target, [{"input": images}], False, Cache(tmp_path))
    network = read(target, "classes")
    whole = read(networks["resnet"], "classes")
    assert len(network.layers) == len(whole.layers)
    values = reference(networks["resnet"], [x.name for x in whole.layers], images)
    for name, (low, high) in network.ranges.items():
        if name in values:
            assert values[name].min() >= 1.05 * low
            assert values[name].max() <= 1.05 * high
    for ours, theirs in zip(
        sorted(x.name for x in network.layers), sorted(x.name for x in whole.layers), strict=True
    ):
        assert ours == theirs


def test_a_node_without_a_layer_is_named(tmp_path):
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    answer = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, 8, 8])
    graph = helper.make_graph(
        [helper.make_node("Tanh", ["x"], ["y"], "curve")], "g", [image], [answer]
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "tanh.onnx"))
    with pytest.raises(RuntimeError, match="no layer for Tanh as node curve"):
        read(tmp_path / "tanh.onnx", "y")


def test_only_the_best_class_is_an_answer(networks):
    with pytest.raises(RuntimeError, match=r"logits is no ArgMax.*classes"):
        read(networks["resnet"], "logits")


def test_a_file_that_is_no_network_is_refused(tmp_path):
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"not a network")
    with pytest.raises(RuntimeError, match=r"broken\.onnx cannot be read"):
        read(path, "classes")


@pytest.mark.parametrize(
    ("made", "layers", "levels", "softmax"),
    [
        (lambda: ssd_mobilenet_v1.network("mobilenet", 0.25, 128), 48, 6, False),
        (lambda: ssd_resnet34.network("resnet", 0.125, 448), 53, 6, True),
    ],
)
def test_the_reference_detectors_are_read_to_their_end(made, layers, levels, softmax, tmp_path):
    network = made()
    onnx.save(network.model(weights.seeded(network, 0)), str(tmp_path / "detector.onnx"))
    found = read(tmp_path / "detector.onnx", "detections")
    last = found.detections
    assert len(found.layers) == layers
    assert (len(last.classes), len(last.boxes), last.softmax) == (levels, levels, softmax)
    assert level_firsts(last, found.shapes)[-1] == last.anchors.shape[1]
    assert found.shapes["detections"] == (7, 100, 1)


def test_a_detector_that_does_something_else_is_refused_with_its_node(tmp_path):
    network = ssd_mobilenet_v1.network("mobilenet", 0.25, 128)
    model = network.model(weights.seeded(network, 0))
    clip = next(n for n in model.graph.node if n.output[0] == "corners.inside")
    clip.op_type = "Relu"
    del clip.input[1:]
    onnx.save(model, str(tmp_path / "detector.onnx"))
    with pytest.raises(RuntimeError, match=r"node corners.by_box \(Transpose\) does not"):
        read(tmp_path / "detector.onnx", "detections")
