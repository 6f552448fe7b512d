from __future__ import annotations

from onnx import helper

from engine.models.quantise import nodes_after_the_layers


def test_what_follows_the_last_layer_is_left_in_floating_point():
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
    model = helper.make_model(helper.make_graph(nodes, "g", [], []))
    assert set(nodes_after_the_layers(model)) == {"scaled", "joined"}
