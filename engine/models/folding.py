"""Batch normalisation as a part of the convolution before it."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper, numpy_helper


def fold(model: ModelProto) -> None:
    """Change each convolution in ``model`` that one batch normalisation alone reads, in place.

    Quantised, one left beside its convolution would be computed in floating point. ONNX Runtime's
    own tools fold it in some of their versions (1.32) and leave it in others (1.30).
    """
    graph = model.graph
    values = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    made = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    for node in [x for x in graph.node if x.op_type == "BatchNormalization"]:
        before = made.get(node.input[0])
        known = all(name in values for name in node.input[1:])
        if before is None or uses[node.input[0]] != 1 or not known:
            continue
        if all(name in values for name in before.input[1:]):
            weights, bias = _folded(before, node, values)
            names = [f"{node.output[0]}.folded_{part}" for part in ("weight", "bias")]
            for name, array in zip(names, (weights, bias), strict=True):
                graph.initializer.append(numpy_helper.from_array(array, name))
            before.input[1:] = names
            before.output[0] = node.output[0]
            graph.node.remove(node)
    needed = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in needed]:
        graph.initializer.remove(tensor)


def _folded(
    convolution: NodeProto, node: NodeProto, values: dict[str, NDArray[np.float32]]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights [outputs, inputs, height, width] and bias [outputs] of both."""
    weights, *more = (values[name].astype(np.float64) for name in convolution.input[1:])
    scale, shift, mean, variance = (values[name].astype(np.float64) for name in node.input[1:])
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    factor = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    bias = ((more[0] if more else 0.0) - mean) * factor + shift
    wide = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
    return wide.astype(np.float32), bias.astype(np.float32)
