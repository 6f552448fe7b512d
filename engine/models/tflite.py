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
FLOATS, INTEGERS = {0: "<f4", 1: "<f2"}, {2: "<i4", 3: "u1", 9: "i1"}
INT32 = 2
"""By the schema's TensorType. 32-bit integers without a scale are shapes and the like."""

# Slots of the fields in a table: 4 + 2 * the field's number in the schema.
SUBGRAPHS, BUFFERS, TENSORS, DATA = 8, 12, 4, 4
SHAPE, TYPE, BUFFER, NAME, QUANTISATION = 4, 6, 8, 10, 12
SCALES, ZERO_POINTS, DIMENSION = 8, 10, 16


def read(path: Path) -> dict[str, NDArray[np.generic]]:
    """Weights by name, as they lie in the file (kernels: output, height, width, input).

    Those of a quantised network are brought back to single precision: (q - zero point) * scale.
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
        kind, content = _number(tensor, TYPE, number_types.Int8Flags), _bytes(data, DATA)
        dtype, steps = (FLOATS | INTEGERS).get(kind), _steps(tensor)
        if not content or dtype is None or (kind == INT32 and steps is None):
            continue
        shape = np.frombuffer(_bytes(tensor, SHAPE, 4), "<i4")
        value = np.frombuffer(content, dtype).reshape(shape)
        exact = value if kind in FLOATS or steps is None else _dequantised(value, *steps)
        found[_bytes(tensor, NAME).decode()] = exact
    return found


def _steps(tensor: Table) -> tuple[NDArray[np.float32], NDArray[np.int64], int] | None:
    """Scales, zero points and the dimension that they go along; None if it is not quantised."""
    field = tensor.Offset(QUANTISATION)
    if not field:
        return None
    table = Table(tensor.Bytes, tensor.Indirect(tensor.Pos + field))
    scales = np.frombuffer(_bytes(table, SCALES, 4), "<f4")
    zeros = np.frombuffer(_bytes(table, ZERO_POINTS, 8), "<i8")
    if not len(scales) or len(zeros) not in (0, len(scales)):
        return None
    zeros = zeros if len(zeros) else np.zeros(len(scales), np.int64)
    return scales, zeros, _number(table, DIMENSION, number_types.Int32Flags)


def _dequantised(
    value: NDArray[np.generic], scales: NDArray[np.float32], zeros: NDArray[np.int64], axis: int
) -> NDArray[np.float32]:
    along = [1] * value.ndim
    if len(scales) > 1:
        along[axis] = value.shape[axis]
    exact = (value.astype(np.int64) - zeros.reshape(along)) * scales.astype(float).reshape(along)
    return exact.astype(np.float32)


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
