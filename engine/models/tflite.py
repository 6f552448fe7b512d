"""Reads the constant tensors of a TensorFlow Lite file (a flatbuffer); runs nothing of it.

The field numbers are those of TensorFlow's public schema.fbs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from flatbuffers import encode, number_types
from flatbuffers.table import Table
from numpy.typing import NDArray

IDENTIFIER = b"TFL3"
DTYPES = {0: "<f4", 1: "<f2", 3: "u1", 9: "i1"}
"""By the schema's TensorType. Integers of more bits are shapes and the like: left out."""

# Slots of the fields in a table: 4 + 2 * the field's number in the schema.
SUBGRAPHS, BUFFERS, TENSORS, DATA = 8, 12, 4, 4
SHAPE, TYPE, BUFFER, NAME = 4, 6, 8, 10


def read(path: Path) -> dict[str, NDArray[np.generic]]:
    """Weights by name, as they lie in the file (kernels: output, height, width, input).

    Raises ValueError, or what NumPy and struct raise, for anything that is no such file.
    """
    file = bytearray(path.read_bytes())
    if file[4:8] != IDENTIFIER:
        raise ValueError("it is no TensorFlow Lite file")
    root = Table(file, encode.Get(number_types.UOffsetTFlags.packer_type, file, 0))
    buffers = _tables(root, BUFFERS)
    found = {}
    for tensor in _tables(_tables(root, SUBGRAPHS)[0], TENSORS):
        data = buffers[_number(tensor, BUFFER, number_types.Uint32Flags)]
        dtype = DTYPES.get(_number(tensor, TYPE, number_types.Int8Flags))
        content = _bytes(data, DATA)
        if content and dtype is not None:
            shape = np.frombuffer(_bytes(tensor, SHAPE, 4), "<i4")
            found[_bytes(tensor, NAME).decode()] = np.frombuffer(content, dtype).reshape(shape)
    return found


def _tables(table: Table, slot: int) -> list[Table]:
    """The tables that a vector points to."""
    field = table.Offset(slot)
    if not field:
        return []
    start, count = table.Vector(field), table.VectorLen(field)
    if start + 4 * count > len(table.Bytes):
        raise ValueError("a list in it is longer than the file")
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def _bytes(table: Table, slot: int, item_bytes: int = 1) -> bytes:
    """A vector of numbers, or a string, as it is; empty if the field is missing."""
    field = table.Offset(slot)
    if not field:
        return b""
    start, size = table.Vector(field), table.VectorLen(field) * item_bytes
    if start + size > len(table.Bytes):
        raise ValueError("a tensor in it is longer than the file")
    return bytes(table.Bytes[start : start + size])


def _number(table: Table, slot: int, flags: type) -> int:
    field = table.Offset(slot)
    return int(table.Get(flags, table.Pos + field)) if field else 0
