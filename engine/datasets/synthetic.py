"""Rendered images with planted labels: a shape, its colour and its texture make the class.

Every pixel comes from integer arithmetic on the raw output of a counter-based generator, so that
image ``i`` is the same on every machine, whatever the number of images.
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
TEXTURES = ("plain", "striped")
CLASSES = len(SHAPES) * len(COLOURS) * len(TEXTURES)

SPLITS = {"train": 1, "calibration": 2, "test": 3}

Ints = NDArray[np.int32]


def labels(split: str, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Class of each of the first ``count`` images of a split: int64[count] in 0 ... 31."""
    draws = (_Draws(split, i, seed) for i in range(count))
    return np.fromiter((draw.below(CLASSES) for draw in draws), np.int64, count)


def images(split: str, indices: range, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """The images ``indices`` of a split: uint8 [n, size, size, 3], RGB."""
    return np.stack([image(split, i, size, seed) for i in indices])


def image(split: str, index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """One image: uint8 [size, size, 3], RGB."""
    draws = _Draws(split, index, seed)
    label = draws.below(CLASSES)
    shape, colour, texture = np.unravel_index(label, (len(SHAPES), len(COLOURS), len(TEXTURES)))
    pose = _Pose.drawn(draws, size)
    u, v = pose.coordinates(size)
    inside = _inside(SHAPES[shape], u, v, pose.radius)
    canvas = _background(draws, size)
    light = 160 + draws.below(97)
    paint = np.array([_jitter(draws, level) for level in COLOURS[colour]], np.int32)
    if TEXTURES[texture] == "striped":
        period = 2 * pose.radius // (3 + draws.below(3)) + 1
        dark = (u + 64 * pose.radius) // (period // 2 + 1) % 2 == 0
        shade = np.where(dark, 96, 256)[..., None]
    else:
        shade = np.full((1, 1, 1), 200, np.int32)
    canvas = np.where(inside[..., None], paint * shade // 256, canvas) * light // 256
    return np.clip(canvas + _noise(draws, size), 0, 255).astype(np.uint8)


class _Draws:
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
class _Pose:
    """Where a shape lies: centre and radius in pixels, direction in 1/4096."""

    x: int
    y: int
    radius: int
    cosine: int
    sine: int

    @staticmethod
    def drawn(draws: _Draws, size: int) -> _Pose:
        radius = size * (44 + draws.below(24)) // 224
        x, y = (radius + draws.below(max(1, size - 2 * radius)) for _ in range(2))
        # A rational point of the circle: exact where a library's sine is not.
        t = draws.below(1024)
        norm = 1024 * 1024 + t * t
        cosine, sine = 4096 * (1024 * 1024 - t * t) // norm, 4096 * 2 * 1024 * t // norm
        for _ in range(draws.below(4)):
            cosine, sine = -sine, cosine
        return _Pose(x, y, radius, cosine, sine)

    def coordinates(self, size: int) -> tuple[Ints, Ints]:
        """Each pixel's place in the shape's own axes, in pixels."""
        axis = np.arange(size, dtype=np.int32)
        dx, dy = axis[None, :] - self.x, axis[:, None] - self.y
        u = (dx * self.cosine + dy * self.sine) >> 12
        v = (dy * self.cosine - dx * self.sine) >> 12
        return u, v


def _inside(shape: str, u: Ints, v: Ints, radius: int) -> NDArray[np.bool_]:
    match shape:
        case "disc":
            return u * u + v * v <= radius * radius * 4 // 5
        case _:
            near, far = np.minimum(abs(u), abs(v)), np.maximum(abs(u), abs(v))
            return (4 * near <= radius) & (far <= radius)


def _background(draws: _Draws, size: int) -> Ints:
    """A grey gradient with a faint tint: int32 [size, size, 3]."""
    level, slope_x, slope_y = 48 + draws.below(128), draws.below(97) - 48, draws.below(97) - 48
    tint = np.array([draws.below(25) - 12 for _ in range(3)], np.int32)
    axis = np.arange(-(size // 2), size - size // 2, dtype=np.int32)
    grey = level + axis * slope_x // size + (axis * slope_y // size)[:, None]
    return grey[..., None] + tint


def _jitter(draws: _Draws, level: int) -> int:
    return level + draws.below(41) - 20


def _noise(draws: _Draws, size: int) -> Ints:
    """Noise of a triangular distribution, its strength drawn: int32 [size, size, 3]."""
    strength = 8 + draws.below(33)
    count = size * size * 3
    words = draws.words(-(-count // 4)).astype("<u8").view("<u2")[:count]
    total = (words & 0xFF).astype(np.int32) + (words >> 8)
    return ((total - 255) * strength >> 8).reshape(size, size, 3)
