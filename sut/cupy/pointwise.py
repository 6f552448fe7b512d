"""Convolutions with a kernel of one pixel by ``pointwise.cu``: rivals of cuDNN's plans where inputs
are few.
"""

from __future__ import annotations

from dataclasses import dataclass

from sut.cupy.convolution import Problem
from sut.cupy.launch import Card, Launch, arrays_of, in_lines, limits, whole
from sut.cupy.numbers import DTYPES
from sut.cupy.sources import TYPES

PART = 64
"""Bytes of a part of a pixel's inputs."""
MOST_PARTS = 4
"""Parts up to which a block keeps its weights; cuDNN is faster where there are more inputs."""


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

    def blocks(self, problem: Problem, card: Card) -> int:
        """No more than the card runs at a time, and no more than there is to do for.

        As many for each group of columns; a multiprocessor has registers for 16 or 24 warps.
        """
        rows, outputs = _rows(problem), problem.filters[0]
        groups = -(-outputs // self.columns)
        warps = (24 if self.tiles == 1 else 16) // (self.tall * self.wide)
        at_once = card.at_once(self.shared_bytes(problem), warps)
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
    one = problem.filters[1:] == (1, 1) and not any(problem.pads)
    return one and in_lines(problem) and _parts(problem) <= MOST_PARTS


def launches(problem: Problem, card: Card) -> list[Launch]:
    """One for each way to share the work out; none if the kernels do not solve the problem."""
    if not fits(problem):
        return []
    tiles = [tile for tile in TILES if card.fits(tile.shared_bytes(problem))]
    return [_launch(tile, problem, card) for tile in tiles]


def _launch(tile: Tile, problem: Problem, card: Card) -> Launch:
    _, outputs, out_height, out_width = problem.result
    _, inputs, height, width = problem.image
    shape = (_rows(problem), inputs, outputs, height, width, out_height, out_width)
    return Launch(
        tile.kernel(problem),
        (tile.blocks(problem, card), 1, 1),
        (
            *arrays_of(problem, "x", "w", "scale", "bias", "residual_scale", "residual", "y"),
            *whole(*shape, problem.stride),
            *limits(problem.low, problem.high),
        ),
        tile.threads,
        tile.shared_bytes(problem),
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
