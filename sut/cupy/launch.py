"""A launch of a kernel of our own, and what all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LINE = 16
"""Bytes that a thread reads and writes at once."""
RESERVED_BYTES = 1024
"""Shared memory that CUDA takes for itself of each block's (since compute capability 8.0)."""
UNLIMITED = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Card:
    """A device: its multiprocessors, the shared memory of each, and what a block may have of it."""

    processors: int
    shared_bytes: int
    block_bytes: int

    def fits(self, shared_bytes: int) -> bool:
        """Whether a block may have so much shared memory."""
        return shared_bytes <= self.block_bytes

    def at_once(self, shared_bytes: int, most: int) -> int:
        """Blocks with so much shared memory that run at a time, at most ``most`` on each
        multiprocessor.
        """
        return self.processors * min(most, self.shared_bytes // (shared_bytes + RESERVED_BYTES))


def card_of(cp: Any) -> Card:
    """The device in use; ``cp``: CuPy."""
    own = cp.cuda.Device().attributes
    return Card(
        own["MultiProcessorCount"],
        own["MaxSharedMemoryPerMultiprocessor"],
        own["MaxSharedMemoryPerBlockOptin"],
    )


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
