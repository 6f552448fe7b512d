"""Batch normalisation folded into the convolutions of an ONNX network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx import GraphProto, ModelProto, numpy_helper

from sut.normalisation import EPSILON, folded


def fold(model: ModelProto) -> None:
    """Change each convolution in ``model`` that one batch normalisation alone reads, in place.

    Quantised, one left beside its convolution would be computed in floating point. ONNX Runtime's
    own tools fold it in some of their versions (1.32) and leave it in others (1.30).
    """
    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    uses = Counter(_read(graph))
    made = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    for node in [x for x in graph.node if x.op_type == "BatchNormalization"]:
        before = made.get(node.input[0])
        known = all(name in values for name in node.input[1:])
        if before is None or uses[node.input[0]] != 1 or not known:
            continue
        if all(name in values for name in before.input[1:]):
            weights, *bias = (values[name] for name in before.input[1:])
            parts = tuple(values[name] for name in node.input[1:])
            epsilon = {a.name: a.f for a in node.attribute}.get("epsilon", EPSILON)
            arrays = folded(weights, bias[0] if bias else 0.0, parts, epsilon)
            names = [f"{node.output[0]}.folded_{part}" for part in ("weight", "bias")]
            for name, array in zip(names, arrays, strict=True):
                graph.initializer.append(numpy_helper.from_array(array, name))
            before.input[1:] = names
            before.output[0] = node.output[0]
            graph.node.remove(node)
    needed = set(_read(graph))
    for tensor in [t for t in graph.initializer if t.name not in needed]:
        graph.initializer.remove(tensor)


def _read(graph: GraphProto) -> Iterator[str]:
    """Each tensor as often as something reads it: nodes, those of bodies within, and the answer."""
    yield from (value.name for value in graph.output)
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            yield from _read(attribute.g)
