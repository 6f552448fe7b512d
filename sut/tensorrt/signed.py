"""A quantised network (QDQ) as TensorRT takes it: signed 8-bit numbers whose zero is zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP = 127.0
NODES = ("QuantizeLinear", "DequantizeLinear")


def signed(model: Path) -> bytes:
    """The ONNX file ``model`` with every unsigned range as a symmetric one that holds it.

    A range that begins at zero may have taken an activation's place: it gets a ReLU. Biases in
    32-bit integers become floating-point constants. Raises RuntimeError for a file that cannot be
    read, and for ranges that are no constants.
    """
    import onnx
    from onnx import helper, numpy_helper

    try:
        whole = onnx.load(str(model))
    except Exception as error:  # protobuf and onnx raise types of their own
        raise RuntimeError(f"{model} cannot be read as ONNX: {error}") from error
    graph = whole.graph
    constants = {x.name: numpy_helper.to_array(x) for x in graph.initializer}
    changed: dict[str, NDArray[Any]] = {}
    kept = []
    for node in graph.node:
        if node.op_type not in NODES:
            kept.append(node)
            continue
        if missing := [name for name in node.input[1:] if name not in constants]:
            raise RuntimeError(f"sut=tensorrt: {missing[0]}, a range in {model}, is no constant.")
        scale = constants[node.input[1]]
        zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros((), np.uint8)
        values = constants.get(node.input[0])
        if values is not None and values.dtype == np.int32:
            shape = (-1, *(1,) * (values.ndim - 1)) if scale.ndim else ()
            changed[node.output[0]] = values.astype(np.float32) * scale.reshape(shape)
            continue
        if zero.dtype == np.uint8:
            if len(node.input) < 3:
                raise RuntimeError(f"sut=tensorrt: node {node.name} in {model} has no zero point.")
            furthest = np.maximum(zero.astype(np.float32), 255 - zero.astype(np.float32))
            changed[node.input[1]] = (scale * furthest / TOP).astype(np.float32)
            changed[node.input[2]] = np.zeros_like(zero, np.int8)
            if node.op_type == "QuantizeLinear" and not zero.any():
                cut = f"{node.output[0]}.from_zero"
                kept.append(helper.make_node("Relu", [node.input[0]], [cut], cut))
                node.input[0] = cut
        kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)
    others = [x for x in graph.initializer if x.name not in changed]
    del graph.initializer[:]
    graph.initializer.extend(others)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in changed.items())
    return whole.SerializeToString()
