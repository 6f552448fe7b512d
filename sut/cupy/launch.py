"""A launch of a kernel of our own, and what all of them share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sut.cupy.convolution import Problem
from sut.cupy.numbers import DTYPES
from sut.cupy.sources import TYPES

LINE = 16
"""Bytes that a thread reads and writes at once."""
RESERVED_BYTES = 1024
"""Shared memory that CUDA takes for itself of each block's (since compute capability 8.0)."""
NONE = np.uint64(0)
"""The argument in the place of an array that there is not."""
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
    """``arguments``: NumPy numbers, and arrays by their names."""

    kernel: str
    grid: tuple[int, int, int]
    arguments: tuple[str | np.generic, ...]
    threads: int = 256
    shared_bytes: int = 0

    def enqueue(self, function: Any, pointers: Mapping[str, int]) -> None:
        """Put it on the stream in use. ``function``: the kernel, as CuPy has compiled it;
        ``pointers``: the arrays' addresses.
        """
        given = [np.uint64(pointers[x]) if isinstance(x, str) else x for x in self.arguments]
        function(self.grid, (self.threads,), tuple(given), shared_mem=self.shared_bytes)


def in_lines(problem: Problem) -> bool:
    """Whether kernels of ours have its kind of numbers, and its pixels are whole lines of them."""
    if problem.dtype not in TYPES or problem.out != problem.dtype:
        return False
    size = DTYPES[problem.dtype].itemsize
    return problem.image[1] * size % LINE == 0 and problem.filters[0] * size % LINE == 0


def arrays_of(problem: Problem, *names: str) -> tuple[str | np.generic, ...]:
    """Arrays by their names, and ``NONE`` for those that the problem has not."""
    return tuple(name if name in problem.tensors else NONE for name in names)


def whole(*numbers: int) -> tuple[np.int32, ...]:
    """Arguments."""
    return tuple(map(np.int32, numbers))


def limits(low: float | None, high: float | None) -> tuple[np.float32, np.float32]:
    """What a kernel clips at, None for nothing."""
    return (
        np.float32(-UNLIMITED if low is None else low),
        np.float32(UNLIMITED if high is None else high),
    )
