"""Matrix products with weights in 4 bits, as ONNX Runtime's operator MatMulNBits computes them.

The weights alone are quantised, in blocks of an output's inputs that share a scale; what they are
multiplied with stays in single precision.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

BLOCK = 32
DOMAIN = "com.microsoft"
ZERO = 8
"""The stored number that means 0 where no zero points are given."""


def lighten(model: ModelProto) -> int:
    """Replace in place each product with a constant matrix, in loops too; how many there were."""
    changed = sum(_lighten(graph) for graph in _graphs(model.graph))
    if changed and all(opset.domain != DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    return changed


def packed(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """``weight`` [K, N] in 4 bits: uint8 [N, ceil(K / 32), 16], the earlier input in the lower
    half of a byte, and its scales, float32 [N, ceil(K / 32)]: weight = (q - 8) * scale.

    Each block's largest number is met exactly.
    """
    rows = weight.T
    padding = -rows.shape[1] % BLOCK
    blocks = np.pad(rows, ((0, 0), (0, padding))).reshape(len(rows), -1, BLOCK)
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    scales = np.where(largest == 0, 1, largest / -ZERO).astype(np.float32)
    counts = np.clip(np.rint(blocks / scales) + ZERO, 0, 15).astype(np.uint8)
    return counts[..., 0::2] | counts[..., 1::2] << 4, scales[..., 0]


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)


def _lighten(graph: GraphProto) -> int:
    weights = {t.name: t for t in graph.initializer if _is_matrix(t)}
    products = [n for n in graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    names = {node.input[1] for node in products}
    for node in products:
        _replace(graph, node, numpy_helper.to_array(weights[node.input[1]]))
    for name in names:
        if all(name not in node.input for node in graph.node):
            graph.initializer.remove(weights[name])
    return len(products)


def _is_matrix(tensor: TensorProto) -> bool:
    return len(tensor.dims) == 2 and tensor.data_type == TensorProto.FLOAT


def _replace(graph: GraphProto, node: NodeProto, weight: NDArray[np.float32]) -> None:
    names = [f"{node.name}.in_4_bits", f"{node.name}.scales"]
    stored, scales = packed(weight)
    graph.initializer.append(numpy_helper.from_array(stored, names[0]))
    graph.initializer.append(numpy_helper.from_array(scales, names[1]))
    sizes = dict(zip("KN", weight.shape, strict=True))
    light = helper.make_node(
        "MatMulNBits",
        [node.input[0], *names],
        list(node.output),
        node.name,
        domain=DOMAIN,
        bits=4,
        block_size=BLOCK,
        **sizes,
    )
    node.CopyFrom(light)
