"""A network in half precision, for runtimes that compute in what the file says."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

KEPT = ("NonMaxSuppression", "TopK", "ScatterND", "GatherND", "Greater", "Where", "Mod", "Range")
"""Nodes that put answers in order or count: 16 bits would tie scores and lose large numbers."""


def half(model: Path) -> bytes:
    """The ONNX file ``model`` (fp32) with its layers in fp16; inputs and outputs stay as they are.

    Raises RuntimeError with the reason for a network that cannot be converted.
    """
    import onnx
    from onnxruntime.transformers import float16

    blocked = sorted({*float16.DEFAULT_OP_BLOCK_LIST, *KEPT})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers below fp16's smallest
            made = float16.convert_float_to_float16(
                onnx.load(str(model)), keep_io_types=True, op_block_list=blocked
            )
        _cast_once(made.graph)
        return made.SerializeToString()
    except Exception as error:  # protobuf and the tool raise types of their own
        raise RuntimeError(f"{model} cannot be converted to fp16: {error}") from error


def _cast_once(graph: Any) -> None:
    """Keep one of the casts that ONNX Runtime before 1.32 adds for each reader of a tensor."""
    made: set[str] = set()
    kept = []
    for node in graph.node:
        if node.op_type != "Cast" or node.output[0] not in made:
            kept.append(node)
        made.update(node.output)
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
