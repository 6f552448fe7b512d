"""What the device does for each layer, and the arrays it needs for that: all of it host work.

In 8 bits a tensor holds ``round(factor * value) + zero``. Factors and zeros become part of weights,
biases and limits here, so that the device never looks at a range.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sut.cupy.convolution import Problem
from sut.cupy.detector import Detections
from sut.cupy.graph import Network
from sut.cupy.layers import Average, Convolution, Dense, Halved, Layer, MaxPool
from sut.cupy.numbers import DTYPES

Arrays = Mapping[str, NDArray[np.generic]]
LOWEST, HIGHEST = -128.0, 127.0
"""The numbers of 8 bits."""
CHANNELS = 4
"""Channels that an image is stored with."""
HALVES = 16
"""Half-precision numbers that a tensor core takes of a row at a time: four pixels of an image."""
ALIGNED = {"fp32": 8, "fp16": 8, "bf16": 8, "int8": 16}
"""Channels come in multiples of so many."""


@dataclass(frozen=True)
class Stored:
    """How a tensor's values are stored: ``factor * value + zero``, rounded in 8 bits."""

    factor: float = 1.0
    zero: int = 0


FLOATING = Stored()


@dataclass(frozen=True)
class Step:
    """A layer with its ``arrays`` as the device wants them.

    ``kind``: stem, convolution, depthwise, max_pool, average, dense, halved or detections. ``low``,
    ``high``: limits in the numbers of the result, None where nothing is clipped. ``source``: how
    what it reads is stored.
    """

    kind: str
    layer: Layer
    arrays: Arrays
    low: float | None = None
    high: float | None = None
    source: Stored = FLOATING


def number_of(network: Network, name: str) -> str:
    """The kind of numbers that a layer's result is stored in.

    fp32 for a head, fp16 for what it reads in a quantised network, int8 where that is quantised; a
    result without a range that only an average reads stays in 16 bits. Raises RuntimeError for one
    that a layer in 8 bits needs.
    """
    if network.is_head(name):
        return "fp32"
    if not network.ranges:
        return network.half
    if name in network.ranges:
        return "int8"
    if _halved(network, name):
        return "fp16"
    for layer in network.layers:
        reads = layer.source == name or getattr(layer, "residual", None) == name
        if reads and not isinstance(layer, Average | Dense):
            raise RuntimeError(
                f"sut=cupy: the network is quantised, but tensor {name} is not, which layer "
                f"{layer.name} needs. Quantise it again with precision=int8, or use precision=fp16."
            )
    return network.half


def stored_channels(network: Network, name: str) -> int:
    """Channels that a tensor is stored with: results in single precision are filled up."""
    channels = network.shapes[name][0]
    whole = network.is_head(name) or (name == network.response and network.detections is None)
    return -(-channels // 8) * 8 if whole else channels


def steps_of(network: Network) -> tuple[Step, ...]:
    """The steps of ``network``; RuntimeError for a layer that the device's kernels do not fit."""
    first = network.layers[0]
    return tuple(_step(network, layer, layer is first) for layer in network.layers)


def stored_as(network: Network, name: str) -> Stored:
    """How a tensor is stored.

    In 8 bits its range takes all 256 numbers, except where a convolution of cuDNN reads it beyond
    its edges: what is there is the number 0, which must then stand for the value 0. Halves hold
    8 bits as they are, times a power of two.
    """
    if made := _halved(network, name):
        factor = stored_as(network, made.source).factor
        return Stored(factor / 2.0 ** round(math.log2(factor)))
    if number_of(network, name) != "int8":
        return FLOATING
    low, high = network.ranges[name]
    if _read_beyond_edges(network, name):
        return Stored(HIGHEST / max(-low, high))
    factor = (HIGHEST - LOWEST) / (high - low)
    return Stored(factor, int(np.clip(np.rint(LOWEST - factor * low), LOWEST, HIGHEST)))


def _halved(network: Network, name: str) -> Halved | None:
    """The layer that makes ``name``, if that is a copy in half precision."""
    return next((x for x in network.layers if isinstance(x, Halved) and x.name == name), None)


def _read_beyond_edges(network: Network, name: str) -> bool:
    """Whether a padded convolution of cuDNN reads it, or what a pool makes of it.

    What a pool makes is stored as what it reads.
    """
    made = next(x for x in network.layers if x.name == name)
    if isinstance(made, MaxPool):
        return _read_beyond_edges(network, made.source)
    names = {name} | {x.name for x in network.layers if isinstance(x, MaxPool) and x.source == name}
    return any(
        layer.source in names and layer.group == 1 and any(layer.pads)
        for layer in network.layers
        if isinstance(layer, Convolution)
    )


def _step(network: Network, layer: Layer, first: bool) -> Step:
    arrays: Arrays
    match layer:
        case Dense():
            return Step("dense", layer, _dense(layer))
        case Detections():
            arrays = {"anchors": layer.anchors, "categories": layer.categories}
            return Step("detections", layer, arrays)
        case Average():
            return Step("average", layer, {}, source=stored_as(network, layer.source))
        case Halved():
            return Step("halved", layer, {}, source=stored_as(network, layer.source))
        case Convolution():
            number = number_of(network, layer.name)
            channels, aligned = len(layer.weights), ALIGNED[number]
            if channels % aligned and not network.is_head(layer.name):
                raise RuntimeError(
                    f"sut=cupy: layer {layer.name} has {channels} channels; in {number} they must "
                    f"be a multiple of {aligned}."
                )
            result = stored_as(network, layer.name)
            low, high = _limits(layer, result, number == "int8")
            if first:
                return Step("stem", layer, stem_arrays(layer, result), low, high)
            source = stored_as(network, layer.source)
            if layer.group > 1:
                arrays = _depthwise(layer, source, result)
                return Step("depthwise", layer, arrays, low, high, source)
            if (reads := number_of(network, layer.source)) != "int8":
                more = stored_channels(network, layer.name) - channels
                weights = np.pad(layer.weights / source.factor, ((0, more), *3 * ((0, 0),)))
                arrays = {
                    "w": _channels_last(weights).astype(DTYPES[reads]),
                    "bias": np.pad(layer.bias, (0, more)),
                }
            else:
                added = stored_as(network, layer.residual) if layer.residual else None
                arrays = _quantised(layer, source, result, added)
            return Step("convolution", layer, arrays, low, high, source)
        case _:
            return Step("max_pool", layer, {})


def _limits(
    layer: Convolution, result: Stored, quantised: bool
) -> tuple[float | None, float | None]:
    low = None if layer.low is None else layer.low * result.factor + result.zero
    high = None if layer.high is None else layer.high * result.factor + result.zero
    if quantised:
        low = LOWEST if low is None else max(low, LOWEST)
        high = HIGHEST if high is None else min(high, HIGHEST)
    return low, high


def _channels_last(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(weights.transpose(0, 2, 3, 1))


def _quantised(
    layer: Convolution, source: Stored, result: Stored, residual: Stored | None
) -> Arrays:
    """8-bit weights, one scale for each output channel (which the accumulator is multiplied by)."""
    largest = np.abs(layer.weights).max(axis=(1, 2, 3)).astype(np.float64)
    unit = np.where(largest > 0, largest, 1) / HIGHEST
    whole = np.rint(layer.weights / unit[:, None, None, None])
    scale = unit * result.factor / source.factor
    bias = layer.bias * result.factor + result.zero - scale * source.zero * whole.sum((1, 2, 3))
    arrays: dict[str, NDArray[np.generic]] = {
        "w": _channels_last(whole).astype(np.int8),
        "scale": scale.astype(np.float32),
    }
    if residual is not None:
        share = result.factor / residual.factor
        bias -= share * residual.zero
        arrays["residual_scale"] = np.full(len(unit), share, np.float32)
    arrays["bias"] = bias.astype(np.float32)
    return arrays


def _depthwise(layer: Convolution, source: Stored, result: Stored) -> Arrays:
    filters = layer.weights[:, 0].transpose(1, 2, 0) * (result.factor / source.factor)
    if layer.weights.shape[2] != 3 or layer.stride not in (1, 2):
        raise RuntimeError(
            f"sut=cupy: layer {layer.name} convolves each channel by itself with a kernel of "
            f"{layer.weights.shape[2]} and stride {layer.stride}; it must be 3, and 1 or 2."
        )
    return {
        "filters": np.ascontiguousarray(filters, np.float32),
        "bias": _shifted(layer, result) - source.zero * filters.sum((0, 1), np.float32),
    }


def _shifted(layer: Convolution, result: Stored) -> NDArray[np.float32]:
    """The bias in the numbers of the result."""
    return (layer.bias * result.factor + result.zero).astype(np.float32)


def _dense(layer: Dense) -> Arrays:
    """Outputs filled up to a multiple of eight."""
    outputs, inputs = layer.weights.shape
    padded = -(-outputs // 8) * 8
    weights = np.zeros((padded, inputs), np.float16)
    bias = np.zeros(padded, np.float32)
    weights[:outputs], bias[:outputs] = layer.weights, layer.bias
    return {"w": weights, "bias": bias}


def stem_steps(kernel: int) -> int:
    """How many times ``HALVES`` a kernel row takes."""
    return -(-kernel * CHANNELS // HALVES)


def stem_arrays(layer: Convolution, result: Stored) -> Arrays:
    """Filters fp16 [outputs, kernel * steps * 16 + 8] of the first convolution.

    The kernel's thread q of four has the columns 2q and 2q + 1 of each eight: filters are put in
    an order that makes them neighbours. The 8 at the end keep rows in different banks.
    """
    outputs, inputs, kernel, _ = layer.weights.shape
    if layer.stride != 2 or kernel not in (3, 7) or inputs != 3 or outputs % 16:
        raise RuntimeError(
            f"sut=cupy: the first convolution has {outputs} outputs of {inputs} channels, kernel "
            f"{kernel}, stride {layer.stride}; it must have a multiple of 16 of 3 channels, kernel "
            "3 or 7, stride 2."
        )
    rows = np.zeros((outputs, kernel, stem_steps(kernel) * HALVES // CHANNELS, CHANNELS))
    rows[:, :, :kernel, :inputs] = layer.weights.transpose(0, 2, 3, 1)
    j, q, e = np.ix_(range(outputs // 8), range(4), range(2))
    order = (q * (outputs // 4) + 2 * j + e).ravel()
    flat = rows.reshape(outputs, -1)[order] * result.factor
    filters = np.pad(flat, ((0, 0), (0, 8))).astype(np.float16)
    return {"filters": filters, "bias": _shifted(layer, result)}


def stored_image(network: Network) -> tuple[int, int]:
    """Lines and columns of an image as it is stored for the first convolution, padding included."""
    first = network.layers[0]
    assert isinstance(first, Convolution)
    _, height, width = network.shapes[first.name]
    kernel = first.weights.shape[2]
    columns = (width - 1) * 2 + stem_steps(kernel) * HALVES // CHANNELS
    return (height - 1) * 2 + kernel, columns + columns % 2


def problem_of(step: Step, network: Network, batch: int) -> Problem:
    """The problem that cuDNN solves for a convolution or a dense layer."""
    layer = step.layer
    source = network.shapes[layer.source]
    if isinstance(layer, Dense):
        filters = (len(step.arrays["bias"]), 1, 1)
        image = (batch, source[0], 1, 1)
        return Problem(image, filters, 1, (0,) * 4, "fp16", "fp32", False, None, None)
    assert isinstance(layer, Convolution)
    return Problem(
        (batch, *source),
        (len(step.arrays["bias"]), *layer.weights.shape[2:]),
        layer.stride,
        layer.pads,
        number_of(network, layer.source),
        number_of(network, layer.name),
        layer.residual is not None,
        step.low,
        step.high,
    )
