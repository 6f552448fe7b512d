"""3x3 convolutions of few channels by ``window.cu``: rivals of cuDNN's plans for them."""

from __future__ import annotations

from sut.cupy.convolution import Problem
from sut.cupy.launch import Card, Launch, arrays_of, in_lines, limits, whole
from sut.cupy.numbers import DTYPES
from sut.cupy.sources import TYPES

INPUT_BYTES, OUTPUTS = 64, 64
"""Bytes of a pixel's inputs, and channels of the result, that the kernel has room for."""
WARPS, BLOCKS = 7, 2
"""Warps of a block, and blocks that a multiprocessor has registers for."""
TILES = ((8, 56), (16, 28))
"""Lines and columns that a block makes at a time."""


def fits(problem: Problem) -> bool:
    """Whether the kernel solves it."""
    same = problem.stride == 1 and problem.pads == (1, 1, 1, 1)
    if problem.filters[1:] != (3, 3) or not same or problem.residual or not in_lines(problem):
        return False
    input_bytes = problem.image[1] * DTYPES[problem.dtype].itemsize
    return input_bytes <= INPUT_BYTES and problem.filters[0] <= OUTPUTS


def launches(problem: Problem, card: Card) -> list[Launch]:
    """One for each tile; none if the kernel does not solve the problem."""
    if not fits(problem):
        return []
    return [_launch(*tile, problem, card) for tile in TILES if card.fits(_shared_bytes(*tile))]


def _shared_bytes(tall: int, wide: int) -> int:
    """Weights, the pixels of two tiles, scales and biases."""
    pixels = (tall + 2) * (wide + 2)
    return INPUT_BYTES * (9 * OUTPUTS + 2 * pixels) + 8 * OUTPUTS


def _launch(tall: int, wide: int, problem: Problem, card: Card) -> Launch:
    batch, inputs, height, width = problem.image
    shared = _shared_bytes(tall, wide)
    tiles = batch * -(-height // tall) * -(-width // wide)
    return Launch(
        f"window<{TYPES[problem.dtype]}, {tall}, {wide}, {WARPS}>",
        (min(tiles, card.at_once(shared, BLOCKS)), 1, 1),
        (
            *arrays_of(problem, "x", "w", "scale", "bias", "y"),
            *whole(batch, inputs, problem.filters[0], height, width),
            *limits(problem.low, problem.high),
        ),
        32 * WARPS,
        shared,
    )
