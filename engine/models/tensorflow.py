"""Reads the float tensors of TensorFlow's frozen graphs (``.pb``); runs nothing of them.

The messages are those of TensorFlow's public graph.proto, node_def.proto, attr_value.proto,
tensor.proto, tensor_shape.proto and tensor_bundle.proto, as far as tensors need them.
"""

from __future__ import annotations

from functools import cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

FLOAT = 1
"""TensorFlow's DataType of single precision."""

_KIND = descriptor_pb2.FieldDescriptorProto
_MESSAGES: dict[str, tuple[tuple[str, int, int | str, bool], ...]] = {
    # field, number, type (a name: another message), whether it is repeated
    "Dim": (("size", 1, _KIND.TYPE_INT64, False),),
    "Shape": (("dim", 2, "Dim", True),),
    "Tensor": (
        ("dtype", 1, _KIND.TYPE_INT32, False),
        ("shape", 2, "Shape", False),
        ("content", 4, _KIND.TYPE_BYTES, False),
        ("floats", 5, _KIND.TYPE_FLOAT, True),
    ),
    "Value": (("tensor", 8, "Tensor", False),),
    "Attribute": (("key", 1, _KIND.TYPE_STRING, False), ("value", 2, "Value", False)),
    "Node": (
        ("name", 1, _KIND.TYPE_STRING, False),
        ("op", 2, _KIND.TYPE_STRING, False),
        ("attribute", 5, "Attribute", True),
    ),
    "Graph": (("node", 1, "Node", True),),
    "Header": (
        ("shards", 1, _KIND.TYPE_INT32, False),
        ("endianness", 2, _KIND.TYPE_INT32, False),
    ),
    "Entry": (
        ("dtype", 1, _KIND.TYPE_INT32, False),
        ("shape", 2, "Shape", False),
        ("shard", 3, _KIND.TYPE_INT32, False),
        ("offset", 4, _KIND.TYPE_INT64, False),
        ("size", 5, _KIND.TYPE_INT64, False),
        ("crc32c", 6, _KIND.TYPE_FIXED32, False),
        ("slices", 7, _KIND.TYPE_BYTES, True),
    ),
}


def read_graph(path: Path) -> dict[str, NDArray[np.float32]]:
    """The graph's constants with a dimension, by name, as they lie in it (kernels: height, width,
    input, output).

    Raises ValueError for anything that is no such file.
    """
    graph = parsed("Graph", path.read_bytes())
    found = {}
    for node in graph.node:
        for attribute in node.attribute if node.op == "Const" else ():
            tensor = attribute.value.tensor
            if attribute.key == "value" and tensor.dtype == FLOAT and tensor.shape.dim:
                found[node.name] = _array(node.name, tensor)
    if not found:
        raise ValueError("it holds no constants, or is no TensorFlow graph")
    return found


def _array(name: str, tensor: Any) -> NDArray[np.float32]:
    shape = [dim.size for dim in tensor.shape.dim]
    values = (
        np.frombuffer(tensor.content, "<f4")
        if tensor.content
        else np.fromiter(tensor.floats, np.float32, len(tensor.floats))
    )
    if len(values) != prod(shape):
        raise ValueError(f"tensor {name} has {len(values)} numbers for the shape {shape}")
    return values.reshape(shape)


def parsed(name: str, content: bytes) -> Any:
    """One of TensorFlow's messages; ValueError for bytes that are none."""
    message = _message(name)()
    try:
        message.ParseFromString(content)
    except DecodeError as error:
        raise ValueError(f"it is damaged, or no file of TensorFlow's ({error})") from error
    return message


@cache
def _message(name: str) -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="graph.proto", syntax="proto3")
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for field, number, kind, repeated in fields:
            label = _KIND.LABEL_REPEATED if repeated else _KIND.LABEL_OPTIONAL
            added = described.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = _KIND.TYPE_MESSAGE, f".{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
