"""Convolutions with a kernel of one pixel by ``pointwise.cu``: rivals of cuDNN's plans where inputs
are few.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sut.cupy.convolution import Problem
from sut.cupy.numbers import DTYPES
from sut.cupy.sources import TYPES, source

LINE, PART = 16, 64
"""Bytes that a thread reads and writes at once, and those of a part of a pixel's inputs."""
MOST_PARTS = 4
"""Parts up to which a block keeps its weights; cuDNN is faster where there are more inputs."""
SHARED_BYTES, RESERVED_BYTES = 227 * 1024, 1024
"""Shared memory of a multiprocessor (compute capability 9.0), and what each block takes of it."""
UNLIMITED = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Tile:
    """What a block computes at a time: ``tall`` x ``wide`` warps, each ``tiles`` * 16 rows (pixels)
    and 64 columns (channels).
    """

    tiles: int
    tall: int
    wide: int

    @property
    def rows(self) -> int:
        """Pixels."""
        return 16 * self.tiles * self.tall

    @property
    def columns(self) -> int:
        """Channels."""
        return 64 * self.wide

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.tall * self.wide

    def shared_bytes(self, problem: Problem) -> int:
        """Shared memory of a block: weights, scales and biases, and twice rows and residual."""
        own = PART * _parts(problem)
        residual = self.rows * self.columns * _size(problem) if problem.residual else 0
        return self.columns * (own + 8) + 2 * (self.rows * own + residual)

    def blocks(self, problem: Problem, processors: int) -> int:
        """No more than so many multiprocessors run at a time, and no more than there is to do for.

        As many for each group of columns; a multiprocessor has registers for 16 or 24 warps.
        """
        rows, outputs = _rows(problem), problem.filters[0]
        groups = -(-outputs // self.columns)
        warps = (24 if self.tiles == 1 else 16) // (self.tall * self.wide)
        fitting = SHARED_BYTES // (self.shared_bytes(problem) + RESERVED_BYTES)
        at_once = processors * min(warps, fitting)
        return groups * min(-(-rows // self.rows), max(1, at_once // groups))

    def kernel(self, problem: Problem) -> str:
        """The kernel's name."""
        own = (self.tiles, self.tall, self.wide, _parts(problem))
        adds = str(problem.residual).lower()
        return f"pointwise<{TYPES[problem.dtype]}, {', '.join(map(str, own))}, {adds}>"


TILES = (Tile(2, 4, 1), Tile(2, 2, 2), Tile(1, 4, 2), Tile(1, 4, 1))
"""What is tried, in this order."""


def fits(problem: Problem) -> bool:
    """Whether the kernels solve it."""
    if problem.dtype not in TYPES or problem.out != problem.dtype:
        return False
    outputs, *kernel = problem.filters
    whole = LINE // _size(problem)
    aligned = problem.image[1] % whole == 0 and outputs % whole == 0
    one = kernel == [1, 1] and not any(problem.pads)
    return aligned and one and _parts(problem) <= MOST_PARTS


def arguments(problem: Problem, pointers: Mapping[str, Any], none: Any) -> tuple[Any, ...]:
    """Of a launch; ``none``: what stands for an array that there is not."""
    _, outputs, out_height, out_width = problem.result
    _, inputs, height, width = problem.image
    names = ("x", "w", "scale", "bias", "residual_scale", "residual", "y")
    shape = (_rows(problem), inputs, outputs, height, width, out_height, out_width)
    return (
        *(pointers.get(name, none) for name in names),
        *map(np.int32, (*shape, problem.stride)),
        *limits(problem.low, problem.high),
    )


def limits(low: float | None, high: float | None) -> tuple[np.float32, np.float32]:
    """What kernels clip at, None for nothing."""
    return (
        np.float32(-UNLIMITED if low is None else low),
        np.float32(UNLIMITED if high is None else high),
    )


def _size(problem: Problem) -> int:
    return DTYPES[problem.dtype].itemsize


def _parts(problem: Problem) -> int:
    """Parts of a pixel's inputs, a power of two."""
    needed = -(-problem.image[1] * _size(problem) // PART)
    return 1 << (needed - 1).bit_length()


def _rows(problem: Problem) -> int:
    batch, _, height, width = problem.result
    return batch * height * width


class Pointwise:
    """The kernels, compiled for the device in use when a kind of problem first needs them."""

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        self._source = source("numbers", "tensor_cores", "pointwise")
        self.version = hashlib.sha256(self._source.encode()).hexdigest()[:8]
        self._functions: dict[str, Any] = {}
        self._processors = 0

    def plans(self, problem: Problem) -> list[PointwisePlan]:
        """One for each way to share the work out; none if the kernels do not solve the problem."""
        if not fits(problem):
            return []
        return [PointwisePlan(self, tile, problem) for tile in TILES]

    def launch(self, tile: Tile, problem: Problem, pointers: Mapping[str, int]) -> None:
        """Enqueue a kernel on the stream in use."""
        addresses = {name: np.uint64(pointer) for name, pointer in pointers.items()}
        self.function(tile, problem)(
            (tile.blocks(problem, self._processors),),
            (tile.threads,),
            arguments(problem, addresses, np.uint64(0)),
            shared_mem=tile.shared_bytes(problem),
        )

    def function(self, tile: Tile, problem: Problem) -> Any:
        """The compiled kernel."""
        if (name := tile.kernel(problem)) not in self._functions:
            self._compile(problem)
        return self._functions[name]

    def _compile(self, problem: Problem) -> None:
        names = [tile.kernel(problem) for tile in TILES]
        module = self._cp.RawModule(
            code=self._source, options=("--std=c++17",), name_expressions=names
        )
        for tile, name in zip(TILES, names, strict=True):
            function = self._functions[name] = module.get_function(name)
            function.max_dynamic_shared_size_bytes = tile.shared_bytes(problem)
        self._processors = self._cp.cuda.Device().attributes["MultiProcessorCount"]


class PointwisePlan:
    """One way to share the work of a problem out."""

    def __init__(self, kernels: Pointwise, tile: Tile, problem: Problem) -> None:
        self._kernels, self._tile, self._problem = kernels, tile, problem
        self.name = tile.kernel(problem)
        self.workspace = 0

    def build(self) -> None:
        """Compile the kernels, if this has not been done."""
        self._kernels.function(self._tile, self._problem)

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the stream in use."""
        self._kernels.launch(self._tile, self._problem, pointers)
