"""The fused layers that the device runs, and the shapes of what they make."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sut.cupy.detector import Detections

Floats = NDArray[np.float32]
Pads = tuple[int, int, int, int]


@dataclass(frozen=True)
class Convolution:
    """``clip(conv(source, weights) + bias + residual, low, high)``.

    ``weights``: float32 [outputs, inputs / group, kernel, kernel]; ``pads``: top, left, bottom,
    right. ``residual``: the tensor that is added, ``low`` and ``high``: the limits, if any.
    """

    name: str
    source: str
    weights: Floats
    bias: Floats
    stride: int
    pads: Pads
    group: int = 1
    residual: str | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each window."""

    name: str
    source: str
    kernel: int
    stride: int
    pads: Pads


@dataclass(frozen=True)
class Average:
    """The mean of each channel over all pixels."""

    name: str
    source: str


@dataclass(frozen=True)
class Dense:
    """``source @ weights.T + bias``; weights float32 [outputs, inputs]."""

    name: str
    source: str
    weights: Floats
    bias: Floats


@dataclass(frozen=True)
class Halved:
    """``source``, which is stored in 8 bits, in half precision."""

    name: str
    source: str


Layer = Convolution | MaxPool | Average | Dense | Halved | Detections


def with_halves(
    layers: tuple[Layer, ...], heads: Collection[str], ranges: Collection[str]
) -> tuple[Layer, ...]:
    """``layers`` whose ``heads`` read in half precision what has one of the ``ranges``.

    In 8 bits their weights would be too coarse: regressions add large shares of opposite signs.
    """
    made: dict[str, Layer] = {}
    for layer in layers:
        if isinstance(layer, Convolution) and layer.name in heads and layer.source in ranges:
            copy = Halved(f"{layer.source}.half", layer.source)
            made[copy.name] = copy
            layer = replace(layer, source=copy.name)
        made[layer.name] = layer
    return tuple(made.values())


def shapes_of(
    image: str, shape: tuple[int, int, int], layers: tuple[Layer, ...]
) -> dict[str, tuple[int, int, int]]:
    """Channels, height and width of every tensor."""
    shapes = {image: shape}
    for layer in layers:
        channels, height, width = shapes[layer.source]
        match layer:
            case Convolution():
                channels, kernel = len(layer.weights), layer.weights.shape[2]
                shapes[layer.name] = (channels, *_sides(layer, height, width, kernel))
            case MaxPool():
                shapes[layer.name] = (channels, *_sides(layer, height, width, layer.kernel))
            case Average():
                shapes[layer.name] = (channels, 1, 1)
            case Dense():
                shapes[layer.name] = (len(layer.weights), 1, 1)
            case Halved():
                shapes[layer.name] = shapes[layer.source]
            case Detections():
                shapes[layer.name] = (7, layer.most, 1)
    return shapes


def _sides(layer: Convolution | MaxPool, height: int, width: int, kernel: int) -> tuple[int, int]:
    top, left, bottom, right = layer.pads
    return (
        (height + top + bottom - kernel) // layer.stride + 1,
        (width + left + right - kernel) // layer.stride + 1,
    )
