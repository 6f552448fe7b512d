"""8-bit products on x86 without VNNI or AMX: two of them are added in 16 bits, which saturate.

A sum of two products a * w, a in 0 ... 255, stays below 2^15 where two weights of one sign add up
to 128 at most. Weights of 7 bits do that always. Here each output channel keeps as many steps as
its own two largest weights of one sign allow, whatever order a runtime multiplies them in: 7 bits
where these are alike, 8 where one stands out. Depthwise convolutions add their products in 32
bits and keep all 8 (ONNX Runtime and OpenVINO, ``tests/engine/models/test_saturation.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from onnxruntime.quantization import QuantType

RANGES = "weights in ranges whose products this processor, without VNNI, adds exactly"
UNSIGNED = "unsigned weights, whose products this processor, without VNNI, adds exactly"
"""What a result says of either."""

STEPS = 127
"""Of an 8-bit weight, on either side of zero."""

LSTM_WEIGHTS = (1, 2, 9, 11)
"""Inputs of a DynamicQuantizeLSTM: its weights and their zero points."""

Overrides = dict[str, list[dict[str, Any]]]
"""By a weight's name, what ONNX Runtime's quantiser is told of each channel."""


def products_saturate() -> bool:
    """Whether this processor's 8-bit products saturate in 16 bits: x86 without VNNI or AMX."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx2" in flags and not any(f in flags for f in ("avx512_vnni", "avx_vnni", "amx_int8"))


def weight_ranges(model: ModelProto, kept: Sequence[str]) -> Overrides:
    """The range of each output channel's weights, for all layers but those ``kept`` as they are."""
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    found: Overrides = {}
    for node in model.graph.node:
        axis = _output_axis(node)
        if axis is None or node.input[1] not in weights or node.name in kept:
            continue
        weight = numpy_helper.to_array(weights[node.input[1]])
        if not _is_depthwise(node, weight):
            found[node.input[1]] = [
                {
                    "axis": axis,
                    "quant_type": QuantType.QInt8,
                    "symmetric": True,
                    "reduce_range": False,
                    "rmin": -reach,
                    "rmax": reach,
                }
                for reach in _reaches(np.moveaxis(weight, axis, 0))
            ]
    return found


def _output_axis(node: NodeProto) -> int | None:
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        return 0 if turned else 1
    return 1 if node.op_type == "MatMul" else None


def _is_depthwise(node: NodeProto, weight: NDArray[np.float32]) -> bool:
    group = next((a.i for a in node.attribute if a.name == "group"), 1)
    return group == len(weight) > 1 and weight.shape[1] == 1


def _reaches(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """What 127 steps stand for in each channel [channels, ...].

    The largest sum of two weights of one sign takes 127 steps at most, so 128 when both are
    rounded; the largest weight is a whole number of steps, so that it is not.
    """
    rows = weight.reshape(len(weight), -1)
    largest = np.abs(rows).max(axis=1)
    sums = [np.sort(np.maximum(side, 0), axis=1)[:, -2:].sum(axis=1) for side in (rows, -rows)]
    steps = STEPS * largest / np.maximum(np.maximum(*sums), np.finfo(np.float32).tiny)
    return STEPS * largest / np.maximum(np.floor(steps), 1)


def unsigned(model: ModelProto) -> None:
    """Make the weights of quantised recurrent layers unsigned, in loops too: the same numbers."""
    graphs = [model.graph, *(a.g for node in model.graph.node for a in node.attribute)]
    weights = {tensor.name: tensor for graph in graphs for tensor in graph.initializer}
    layers = [n for graph in graphs for n in graph.node if n.op_type == "DynamicQuantizeLSTM"]
    for name in {layer.input[place] for layer in layers for place in LSTM_WEIGHTS}:
        shifted = numpy_helper.to_array(weights[name]).astype(np.int16) + 128
        weights[name].CopyFrom(numpy_helper.from_array(shifted.astype(np.uint8), name))
