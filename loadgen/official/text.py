"""Text of many like rows at once: integer arrays to the bytes of their decimal or hex digits.

A field is uint8[n, width]; NULs in it stand for nothing and are dropped when rows are joined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint32]
Bytes = NDArray[np.uint8]

GROUP = 10_000


def _table(rows: Sequence[bytes]) -> Bytes:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), -1)


# Four digits at a time: after other digits, in front, and alone in the last place.
_INNER = [b"%04d" % n for n in range(GROUP)]
_FRONT = [(b"%d" % n if n else b"").rjust(4, b"\0") for n in range(GROUP)]
_LAST = [b"\0\0\x000", *_FRONT[1:]]
_FOUR = _table(_INNER + _FRONT + _LAST).view(np.uint32).ravel()
_HEX = _table([b"%02X" % n for n in range(256)]).view(np.uint16).ravel()


def decimal(values: Integers) -> Bytes:
    """The digits of values >= 0, without leading zeros."""
    most = int(values.max(initial=0))
    groups = max(1, -(-len(str(most)) // 4))
    text = np.empty((len(values), groups), np.uint32)
    rest: Integers = values.astype(np.uint32) if most < 2**32 else values
    for place in range(groups - 1, -1, -1):
        higher = rest // GROUP
        row = rest - higher * GROUP
        front = 2 * GROUP if place == groups - 1 else GROUP
        text[:, place] = _FOUR[row + np.where(higher, 0, front)]
        rest = higher
    return text.view(np.uint8)


def microseconds(ns: NDArray[np.int64]) -> tuple[Bytes, bytes, Bytes]:
    """Times in ns >= 0 as µs with three decimals: two fields and the point between them."""
    whole = ns // 1000
    decimals = _FOUR[ns - whole * 1000].view(np.uint8).reshape(-1, 4)
    return decimal(whole), b".", decimals[:, 1:]


def hexadecimal(data: Bytes) -> Bytes:
    """The upper-case hex digits of uint8[n, width]."""
    return _HEX[data].view(np.uint8)


def joined_rows(*fields: Bytes | bytes) -> bytes:
    """The rows that the fields make, side by side; bytes are the same in every row."""
    arrays = [f for f in fields if not isinstance(f, bytes)]
    count = len(arrays[0])
    widths = [len(f) if isinstance(f, bytes) else f.shape[1] for f in fields]
    rows = np.empty((count, sum(widths)), np.uint8)
    at = 0
    for field, width in zip(fields, widths, strict=True):
        same = isinstance(field, bytes)
        rows[:, at : at + width] = np.frombuffer(field, np.uint8) if same else field
        at += width
    flat = rows.ravel()
    return flat[flat != 0].tobytes()
