"""What synthetic images are drawn from: shapes, colours, backgrounds and noise.

Every pixel comes from integer arithmetic on the raw output of a counter-based generator keyed by
seed, split and image, so that an image is the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ("disc", "cross")
COLOURS = (
    (208, 48, 48),  # red
    (216, 128, 40),  # orange
    (192, 200, 48),  # yellow
    (56, 176, 64),  # green
    (48, 184, 192),  # cyan
    (48, 72, 208),  # blue
    (120, 56, 200),  # violet
    (208, 64, 160),  # pink
)
SPLITS = {"train": 1, "calibration": 2, "test": 3}

Ints = NDArray[np.int32]


class Draws:
    """Small integers from a generator keyed by seed, split and image."""

    def __init__(self, split: str, index: int, seed: int) -> None:
        key = np.array([seed % 2**64, (SPLITS[split] << 48) | index], np.uint64)
        self._bits = np.random.Philox(key=key)

    def below(self, limit: int) -> int:
        """An integer in 0 ... limit - 1; the bias of the product method is under 2^-32."""
        return (int(self._bits.random_raw()) >> 32) * limit >> 32

    def words(self, count: int) -> NDArray[np.uint64]:
        """``count`` raw 64-bit words."""
        return np.asarray(self._bits.random_raw(count), np.uint64)


@dataclass(frozen=True)
class Pose:
    """Where a shape lies: centre and radius in pixels, direction in 1/4096."""

    x: int
    y: int
    radius: int
    cosine: int
    sine: int

    @staticmethod
    def drawn(draws: Draws, size: int, least: int = 44, spread: int = 24) -> Pose:
        """Anywhere in the image, with a radius of ``least`` and up to ``spread`` more in 224."""
        radius = size * (least + draws.below(spread)) // 224
        x, y = (radius + draws.below(max(1, size - 2 * radius)) for _ in range(2))
        # A rational point of the circle: exact where a library's sine is not.
        t = draws.below(1024)
        norm = 1024 * 1024 + t * t
        cosine, sine = 4096 * (1024 * 1024 - t * t) // norm, 4096 * 2 * 1024 * t // norm
        for _ in range(draws.below(4)):
            cosine, sine = -sine, cosine
        return Pose(x, y, radius, cosine, sine)

    def coordinates(self, columns: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """The place of each pixel of these columns and rows in the shape's own axes, in pixels."""
        dx, dy = columns[None, :] - self.x, rows[:, None] - self.y
        u = (dx * self.cosine + dy * self.sine) >> 12
        v = (dy * self.cosine - dx * self.sine) >> 12
        return u, v


def inside(shape: str, u: Ints, v: Ints, radius: int) -> NDArray[np.bool_]:
    match shape:
        case "disc":
            return u * u + v * v <= radius * radius * 4 // 5
        case _:
            near, far = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
            return (4 * near <= radius) & (far <= radius)


def background(draws: Draws, size: int) -> Ints:
    """A grey gradient with a faint tint: int32 [size, size, 3]."""
    level, slope_x, slope_y = 48 + draws.below(128), draws.below(97) - 48, draws.below(97) - 48
    tint = np.array([draws.below(25) - 12 for _ in range(3)], np.int32)
    axis = np.arange(-(size // 2), size - size // 2, dtype=np.int32)
    grey = level + axis * slope_x // size + (axis * slope_y // size)[:, None]
    return grey[..., None] + tint


def jitter(draws: Draws, level: int) -> int:
    return level + draws.below(41) - 20


def noise(draws: Draws, size: int) -> Ints:
    """Noise of a triangular distribution, its strength drawn: int32 [size, size, 3]."""
    strength = 8 + draws.below(33)
    count = size * size * 3
    words = draws.words(-(-count // 4)).astype("<u8").view("<u2")[:count]
    total = (words & 0xFF).astype(np.int32) + (words >> 8)
    return ((total - 255) * strength >> 8).reshape(size, size, 3)
