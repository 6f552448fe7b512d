"""Reads the float tensors of a TensorFlow checkpoint: ``NAME.index``, and the shards
``NAME.data-00000-of-00001`` ... beside it. Runs nothing of them.

The index is a table as LevelDB writes them (sorted entries in blocks, then an index of the blocks
and a footer), uncompressed; its entries say where in which shard a tensor lies. Blocks and tensors
have CRC-32C sums, which are checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from math import prod
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from engine.models.tensorflow import FLOAT, parsed

MAGIC = 0xDB4775248B80FB57
FOOTER_BYTES, TRAILER_BYTES = 48, 5
"""The footer: places of two blocks, and ``MAGIC``. A block's trailer: its compression, its sum."""

MASK = 0xA282EAD8
"""What LevelDB adds to a sum, turned by 15 bits, since a file's own sum may cover it."""


def read(path: Path) -> dict[str, NDArray[np.float32]]:
    """Tensors in single precision by name, as they lie in the shards, mapped into memory.

    Raises ValueError for a file that is no such index, tensors in slices, shards that are too
    short, damaged or big-endian; OSError for a shard that is missing.
    """
    entries = dict(_entries(path.read_bytes()))
    parts = [np.memmap(file, np.uint8, "r") for file in _shards(path, entries.pop(b"", b""))]
    found = {}
    for key, content in entries.items():
        name, entry = key.decode(), parsed("Entry", content)
        if entry.dtype != FLOAT:
            continue
        shape = [dim.size for dim in entry.shape.dim]
        if entry.slices:
            raise ValueError(f"tensor {name} is in slices")
        if not 0 <= entry.shard < len(parts) or min(shape, default=0) < 0:
            raise ValueError(f"tensor {name} has no place in it")
        shard, end = parts[entry.shard], entry.offset + entry.size
        if entry.size != 4 * prod(shape) or not 0 <= entry.offset <= end <= len(shard):
            raise ValueError(f"tensor {name} {shape} does not lie in its shard")
        content = shard[entry.offset : end]
        if masked_crc32c(content) != entry.crc32c:
            raise ValueError(f"tensor {name} is damaged: its checksum is another one")
        found[name] = content.view("<f4").reshape(shape)
    return found


def shards(path: Path) -> list[Path]:
    """The files beside an index that hold its tensors; ValueError if it is none."""
    return _shards(path, dict(_entries(path.read_bytes())).get(b"", b""))


def _shards(path: Path, content: bytes) -> list[Path]:
    header = parsed("Header", content)
    if header.shards < 1 or header.endianness:
        raise ValueError("its header is missing, or it was written on a big-endian machine")
    count = header.shards
    return [path.with_suffix(f".data-{i:05}-of-{count:05}") for i in range(count)]


def _entries(file: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the table, in order."""
    footer = file[-FOOTER_BYTES:]
    if len(footer) < FOOTER_BYTES or struct.unpack("<Q", footer[-8:])[0] != MAGIC:
        raise ValueError("it is no checkpoint's index")
    _, _, at = _handle(footer, 0)
    for _, handle in _block(file, *_handle(footer, at)[:2]):
        yield from _block(file, *_handle(handle, 0)[:2])


def _block(file: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of one block; a key gives only what differs from the one before."""
    if offset + size + TRAILER_BYTES > len(file) or size < 4:
        raise ValueError("a block of it lies outside the file")
    end = offset + size + 1
    if masked_crc32c(file[offset:end]) != struct.unpack_from("<I", file, end)[0]:
        raise ValueError("a block of it is damaged: its checksum is another one")
    if file[offset + size]:
        raise ValueError("it is compressed")
    block = file[offset : offset + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    at, key = 0, b""
    while at < end:
        shared, at = _varint(block, at)
        fresh, at = _varint(block, at)
        length, at = _varint(block, at)
        if shared > len(key) or at + fresh + length > end:
            raise ValueError("an entry of it is longer than its block")
        key = key[:shared] + block[at : at + fresh]
        yield key, block[at + fresh : at + fresh + length]
        at += fresh + length


def masked_crc32c(content: bytes | NDArray[np.uint8]) -> int:
    """The CRC-32C of ``content`` as LevelDB and TensorFlow store it."""
    crc = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + MASK) & 0xFFFFFFFF


def _handle(content: bytes, at: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where the next handle begins."""
    offset, at = _varint(content, at)
    size, at = _varint(content, at)
    return offset, size, at


def _varint(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while shift < 64:
        byte = content[at]
        at, number, shift = at + 1, number | (byte & 0x7F) << shift, shift + 7
        if byte < 0x80:
            return number, at
    raise ValueError("a number in it is too long")
