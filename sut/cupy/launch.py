"""A launch of a kernel of our own, and what all of them share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LINE = 16
"""Bytes that a thread reads and writes at once."""
SHARED_BYTES, RESERVED_BYTES = 227 * 1024, 1024
"""Shared memory of a multiprocessor (compute capability 9.0), and what each block takes of it."""
UNLIMITED = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Launch:
    """``arguments``: NumPy numbers, and arrays by their names, of which there may be none."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[str | np.generic, ...]
    threads: int = 256
    shared_bytes: int = 0


def whole(*numbers: int) -> tuple[np.int32, ...]:
    """Arguments."""
    return tuple(map(np.int32, numbers))


def limits(low: float | None, high: float | None) -> tuple[np.float32, np.float32]:
    """What a kernel clips at, None for nothing."""
    return (
        np.float32(-UNLIMITED if low is None else low),
        np.float32(UNLIMITED if high is None else high),
    )
