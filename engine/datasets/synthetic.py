"""Rendered images with planted labels: a shape, its colour and its texture make the class.

Image ``i`` is the same on every machine, whatever the number of images (``drawing``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.datasets.drawing import (
    COLOURS,
    SHAPES,
    Draws,
    Pose,
    background,
    inside,
    jitter,
    noise,
)

TEXTURES = ("plain", "striped")
CLASSES = len(SHAPES) * len(COLOURS) * len(TEXTURES)


def labels(split: str, count: int, seed: int = 0) -> NDArray[np.int64]:
    """Class of each of the first ``count`` images of a split: int64[count] in 0 ... 31."""
    draws = (Draws(split, i, seed) for i in range(count))
    return np.fromiter((draw.below(CLASSES) for draw in draws), np.int64, count)


def images(split: str, indices: range, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """The images ``indices`` of a split: uint8 [n, size, size, 3], RGB."""
    return np.stack([image(split, i, size, seed) for i in indices])


def image(split: str, index: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    """One image: uint8 [size, size, 3], RGB."""
    draws = Draws(split, index, seed)
    label = draws.below(CLASSES)
    shape, colour, texture = np.unravel_index(label, (len(SHAPES), len(COLOURS), len(TEXTURES)))
    pose = Pose.drawn(draws, size)
    axis = np.arange(size, dtype=np.int32)
    u, v = pose.coordinates(axis, axis)
    mask = inside(SHAPES[shape], u, v, pose.radius)
    canvas = background(draws, size)
    light = 160 + draws.below(97)
    paint = np.array([jitter(draws, level) for level in COLOURS[colour]], np.int32)
    if TEXTURES[texture] == "striped":
        period = 2 * pose.radius // (3 + draws.below(3)) + 1
        dark = (u + 64 * pose.radius) // (period // 2 + 1) % 2 == 0
        shade = np.where(dark, 96, 256)[..., None]
    else:
        shade = np.full((1, 1, 1), 200, np.int32)
    canvas = np.where(mask[..., None], paint * shade // 256, canvas) * light // 256
    return np.clip(canvas + noise(draws, size), 0, 255).astype(np.uint8)
