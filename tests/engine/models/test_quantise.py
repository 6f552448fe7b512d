from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.cache import Cache
from engine.models import quantise as quantise_module
from engine.models.quantise import even_batch, kept_in_floating_point, quantise


def _save(nodes, constants, path):
    """From x [n, 3, 8, 8] to y [n, 4, 6, 6]."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 6, 6])
    graph = helper.make_graph(nodes, "g", [x], [y], constants)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)


def kept(nodes):
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    return set(kept_in_floating_point(model))


def test_post_processing_and_what_it_works_on_stay_in_floating_point():
    """A residual addition belongs to the layers; scaling their answer does not."""
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], "first"),
        helper.make_node("Add", ["a", "x"], ["b"], "residual"),
        helper.make_node("Conv", ["b", "l"], ["c"], "second"),
        helper.make_node("Relu", ["c"], ["d"], "activation"),
        helper.make_node("Mul", ["d", "s"], ["e"], "scaled"),
        helper.make_node("Concat", ["e", "e"], ["f"], "joined", axis=1),
        helper.make_node("Mul", ["d", "s"], ["g"]),
    ]
    assert kept(nodes) == {"second", "activation", "scaled", "joined"}


def test_a_network_that_ends_in_its_layers_is_quantised_to_the_end():
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], "first"),
        helper.make_node("Add", ["a", "x"], ["b"], "residual"),
        helper.make_node("Conv", ["b", "l"], ["c"], "last"),
        helper.make_node("Relu", ["c"], ["d"], "activation"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], "average"),
    ]
    assert kept(nodes) == set()


def test_many_samples_are_counted_batch_by_batch(tmp_path, monkeypatch):
    draw, found = np.random.default_rng(0), {}
    weights = numpy_helper.from_array(np.float32(draw.standard_normal((4, 3, 3, 3))), "first")
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], "conv"),
        helper.make_node("Relu", ["a"], ["y"], "activation"),
    ]
    _save(nodes, [weights], tmp_path / "fp32.onnx")
    images = draw.standard_normal((8, 3, 8, 8)).astype(np.float32)
    images[4:] *= 3  # beyond the first batch's bins
    feeds = [{"x": images[at : at + 2]} for at in range(0, 8, 2)]
    for most in (quantise_module.COLLECTED_BYTES, images.nbytes - 1):
        monkeypatch.setattr(quantise_module, "COLLECTED_BYTES", most)
        target = tmp_path / "int8.onnx"
        quantise(tmp_path / "fp32.onnx", target, feeds, False, Cache(tmp_path), percentile=True)
        scales = {x.name: x for x in onnx.load(target).graph.initializer if "scale" in x.name}
        found[most] = {name: numpy_helper.to_array(x).max() for name, x in scales.items()}
    whole, parts = found.values()
    assert whole.keys() == parts.keys()
    assert parts == pytest.approx(whole, rel=0.01)
    assert parts != whole  # they went another way


def test_batches_of_percentiles_are_alike_and_small_where_images_are_large():
    sizes = {224: 64, 300: 64, 1200: 64, 160: 50}
    steps = [even_batch(n, 12 * side**2) for side, n in sizes.items()]
    assert steps == [16, 16, 4, 2]
    assert even_batch(3, 1 << 40) == 1


@pytest.mark.parametrize("percentile", [False, True])
def test_boxes_without_bounds_do_not_keep_the_layers_from_being_quantised(percentile, tmp_path):
    """As a detector's are whose offsets are far from any object: exponentials beyond float32."""
    draw = np.random.default_rng(0)
    constants = {
        "first": draw.standard_normal((4, 3, 3, 3)),
        "second": 1e3 * draw.standard_normal((4, 4, 1, 1)),
        "size": np.full((1, 4, 1, 1), 0.5),
        "low": np.array(0),
        "high": np.array(1),
    }
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], "first"),
        helper.make_node("Relu", ["a"], ["b"], "activation"),
        helper.make_node("Conv", ["b", "second"], ["c"], "head"),
        helper.make_node("Exp", ["c"], ["d"], "growth"),
        helper.make_node("Mul", ["d", "size"], ["e"], "scaled"),
        helper.make_node("Clip", ["e", "low", "high"], ["y"], "inside"),
    ]
    values = [numpy_helper.from_array(np.float32(v), name) for name, v in constants.items()]
    _save(nodes, values, tmp_path / "fp32.onnx")
    images = draw.standard_normal((4, 3, 8, 8)).astype(np.float32)
    target = tmp_path / "int8.onnx"
    quantise(tmp_path / "fp32.onnx", target, [{"x": images}], False, Cache(tmp_path), percentile)
    found = onnx.load(target).graph.node
    assert {n.input[0] for n in found if n.op_type == "QuantizeLinear"} == {"x", "b"}
    assert [n.input[0] for n in found if n.name == "growth"] == ["c"]
