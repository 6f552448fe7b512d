from __future__ import annotations

from onnx import helper

from engine.models.quantise import kept_in_floating_point


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
    assert kept(nodes) == {"second", "scaled", "joined"}


def test_a_network_that_ends_in_its_layers_is_quantised_to_the_end():
    nodes = [
        helper.make_node("Conv", ["x", "k"], ["a"], "first"),
        helper.make_node("Add", ["a", "x"], ["b"], "residual"),
        helper.make_node("Conv", ["b", "l"], ["c"], "last"),
        helper.make_node("Relu", ["c"], ["d"], "activation"),
        helper.make_node("GlobalAveragePool", ["d"], ["e"], "average"),
    ]
    assert kept(nodes) == set()
