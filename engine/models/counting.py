"""Parameters and operations of a network, counted from its ONNX graph alone."""

from __future__ import annotations

import math

import onnx
from onnx import ModelProto, NodeProto

_NUMBERS = frozenset(
    {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.FLOAT16,
        onnx.TensorProto.BFLOAT16,
        onnx.TensorProto.DOUBLE,
        onnx.TensorProto.INT8,
        onnx.TensorProto.UINT8,
    }
)
_NOT_LEARNT = {
    "BatchNormalization": slice(3, 5),
    "QuantizeLinear": slice(1, None),
    "DequantizeLinear": slice(1, None),
}

Shapes = dict[str, tuple[int, ...] | None]


def parameters(model: ModelProto) -> int:
    """Learnt numbers: elements of the initialisers, a batch norm's scale and shift included.

    Running means and variances, quantisation scales, integer tensors and scalars do not count.
    """
    graph = model.graph
    skipped = {
        name
        for node in graph.node
        if node.op_type in _NOT_LEARNT
        for name in node.input[_NOT_LEARNT[node.op_type]]
    }
    return sum(
        math.prod(tensor.dims)
        for tensor in graph.initializer
        if tensor.dims and tensor.data_type in _NUMBERS and tensor.name not in skipped
    )


def operations(model: ModelProto) -> int | None:
    """Operations for one sample: a multiplication and an addition are two.

    Convolutions and matrix products count, as in the paper's Table I; biases, normalisation and
    activations do not. None when shape inference leaves one of those shapes open.
    """
    shapes = _shapes(model)
    total = 0
    for node in model.graph.node:
        if node.op_type not in _PER_NODE:
            continue
        count = _PER_NODE[node.op_type](node, shapes)
        if count is None:
            return None
        total += count
    return total


def _convolution(node: NodeProto, shapes: Shapes) -> int | None:
    weight = shapes.get(node.input[3 if node.op_type == "QLinearConv" else 1])
    output = shapes.get(node.output[0])
    if weight is None or output is None:
        return None
    return 2 * math.prod(output) * math.prod(weight[1:])


def _gemm(node: NodeProto, shapes: Shapes) -> int | None:
    left, output = shapes.get(node.input[0]), shapes.get(node.output[0])
    if left is None or output is None:
        return None
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return 2 * math.prod(output) * left[0 if transposed else 1]


def _matmul(node: NodeProto, shapes: Shapes) -> int | None:
    left, output = shapes.get(node.input[0]), shapes.get(node.output[0])
    return None if left is None or output is None else 2 * math.prod(output) * left[-1]


_PER_NODE = {
    "Conv": _convolution,
    "QLinearConv": _convolution,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "QLinearMatMul": _matmul,
}


def _shapes(model: ModelProto) -> Shapes:
    """Shapes of all tensors at batch size one, None where a dimension stays unknown."""
    single = ModelProto()
    single.CopyFrom(model)
    constants = {tensor.name for tensor in single.graph.initializer}
    for value in single.graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in constants and dims and not dims[0].dim_value:
            dims[0].dim_value = 1
    for value in single.graph.output:
        value.type.tensor_type.ClearField("shape")
    del single.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(single).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    shapes: Shapes = {value.name: _shape(value) for value in values}
    return shapes | {tensor.name: tuple(tensor.dims) for tensor in inferred.initializer}


def _shape(value: onnx.ValueInfoProto) -> tuple[int, ...] | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    known = all(dim.HasField("dim_value") for dim in dims)
    return tuple(dim.dim_value for dim in dims) if known else None
