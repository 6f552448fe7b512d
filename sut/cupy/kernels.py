"""The kernels of ``kernels.cu``: compiled for a device, and launched for a network's steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sut.cupy.graph import Network
from sut.cupy.launch import LINE, Card, Launch, limits, whole
from sut.cupy.layers import Convolution, MaxPool
from sut.cupy.numbers import DTYPES
from sut.cupy.sources import TYPES, source
from sut.cupy.steps import CHANNELS, Step, number_of, stem_steps, stored_as, stored_image

TALL, WIDEST = (8, 4), 112
"""Lines, as many as a block has shared memory for, and the most pixels of one, that a block of the
first convolution makes of an image.
"""
NEIGHBOURS = 4
"""Pixels that a thread of a depthwise convolution makes."""


class Kernels:
    """The kernels that a network needs; compiled on first use, for ``card``, the device in use."""

    def __init__(self, cp: Any, card: Card, network: Network, steps: tuple[Step, ...]) -> None:
        self._network, self._card = network, card
        own = [launch for step in steps if (launch := launch_of(network, step, 1, card))]
        names = {launch.kernel for launch in own} | {"arg_max"}
        module = cp.RawModule(
            code=source("numbers", "tensor_cores", "kernels"),
            options=("--std=c++17",),
            name_expressions=sorted(names),
        )
        self._functions = {name: module.get_function(name) for name in names}
        for launch in own:
            if launch.shared_bytes:
                function = self._functions[launch.kernel]
                function.max_dynamic_shared_size_bytes = launch.shared_bytes

    def __call__(self, step: Step, pointers: Mapping[str, int], batch: int) -> None:
        """Enqueue a step; ``pointers``: addresses of its arrays by the names of ``Launch``."""
        launch = launch_of(self._network, step, batch, self._card)
        assert launch is not None
        self._enqueue(launch, pointers)

    def arg_max(self, x: int, y: int, batch: int, count: int, pitch: int) -> None:
        """The place of the largest of each row's first ``count`` values."""
        self._enqueue(arg_max(batch, count, pitch), {"x": x, "y": y})

    def _enqueue(self, launch: Launch, pointers: Mapping[str, int]) -> None:
        launch.enqueue(self._functions[launch.kernel], pointers)


def launch_of(network: Network, step: Step, batch: int, card: Card) -> Launch | None:
    """What makes a step of a batch; None for one that cuDNN runs."""
    match step.kind, step.layer:
        case "stem", Convolution() as layer:
            return _stem(network, step, layer, batch, card)
        case "depthwise", Convolution() as layer:
            return _depthwise(network, step, layer, batch)
        case "max_pool", MaxPool() as layer:
            return _max_pool(network, layer, batch)
        case "average", _:
            return _average(network, step, batch)
        case "halved", _:
            return _halved(network, step, batch)
    return None


def arg_max(batch: int, count: int, pitch: int) -> Launch:
    """The place of the largest of each row's first ``count`` values."""
    return Launch("arg_max", _of(batch * 32), ("x", "y", *whole(batch, count, pitch)))


def _stem(network: Network, step: Step, layer: Convolution, batch: int, card: Card) -> Launch:
    """The first convolution, of the images ``samples[rows]``.

    No more blocks than run at a time, if there are images enough for them to go on to. Raises
    RuntimeError where a block has no room for its filters and pixels.
    """
    lines, columns = stored_image(network)
    outputs, height, width = network.shapes[layer.name]
    kernel, wide = layer.weights.shape[2], stem_wide(width)
    steps = stem_steps(kernel)

    def shared_bytes(tall: int) -> int:
        """All filters, and a tile's pixels of two images."""
        pixels = ((tall - 1) * 2 + kernel) * (wide - 1 + 2 * steps)
        return step.arrays["filters"].nbytes + 2 * pixels * LINE

    tall = next((tall for tall in TALL if card.fits(shared_bytes(tall))), None)
    if tall is None:
        raise RuntimeError(
            f"sut=cupy: layer {layer.name}, with {outputs} outputs and a kernel of {kernel}, needs "
            f"{shared_bytes(TALL[-1]):,} bytes of shared memory for a block; the device has "
            f"{card.block_bytes:,}."
        )
    shared = shared_bytes(tall)
    across, down = -(-width // wide), -(-height // tall)
    at_once = card.at_once(shared, 2 if outputs > 32 else 3)
    shapes = ", ".join(map(str, (kernel, steps, outputs, tall, wide)))
    return Launch(
        f"stem<{TYPES[number_of(network, layer.name)]}, {shapes}>",
        (across, down, min(batch, max(1, at_once // (across * down)))),
        (
            *("samples", "rows", "filters", "bias", "y"),
            *whole(batch),
            np.int64(lines * columns * CHANNELS),
            *whole(columns * CHANNELS, height, width),
            *limits(step.low, step.high),
        ),
        shared_bytes=shared,
    )


def stem_wide(width: int) -> int:
    """Pixels of a line that a block makes: a line's share, so that few are made in vain.

    With the fewest lines of ``TALL``, whole pairs of 16.
    """
    shares, whole_by = -(-width // WIDEST), 32 // TALL[-1]
    return -(-width // (whole_by * shares)) * whole_by


def _depthwise(network: Network, step: Step, layer: Convolution, batch: int) -> Launch:
    """A 3x3 convolution of each channel."""
    channels, height, width = network.shapes[layer.source]
    _, out_height, out_width = network.shapes[layer.name]
    sizes = (batch, channels, height, width, out_height, out_width, *layer.pads[:2])
    return Launch(
        f"depthwise<{TYPES[number_of(network, layer.name)]}, {layer.stride}, {NEIGHBOURS}>",
        _of(batch * out_height * -(-out_width // NEIGHBOURS) * (channels // 8)),
        (
            *("x", "filters", "bias", "y"),
            *whole(*sizes),
            np.float32(step.source.zero),
            *limits(step.low, step.high),
        ),
    )


def _max_pool(network: Network, layer: MaxPool, batch: int) -> Launch:
    """The largest value of each window."""
    channels, *sides = network.shapes[layer.source]
    _, *results = network.shapes[layer.name]
    number = number_of(network, layer.name)
    sizes = (batch, channels, *sides, *results, layer.stride, *layer.pads[:2])
    return Launch(
        f"max_pool<{TYPES[number]}, {layer.kernel}>",
        _of(batch * results[0] * results[1] * (channels * DTYPES[number].itemsize // LINE)),
        ("x", "y", *whole(*sizes)),
    )


def _average(network: Network, step: Step, batch: int) -> Launch:
    """The mean over all pixels."""
    channels, height, width = network.shapes[step.layer.source]
    scale = np.float32(step.source.zero), np.float32(1 / step.source.factor)
    return Launch(
        f"average<{TYPES[number_of(network, step.layer.source)]}>",
        (-(-channels // 256), batch, 1),
        ("x", "y", *whole(channels, height * width), *scale),
    )


def _halved(network: Network, step: Step, batch: int) -> Launch:
    """Numbers of 8 bits as halves."""
    eights = batch * int(np.prod(network.shapes[step.layer.name])) // 8
    unit = stored_as(network, step.layer.name).factor / step.source.factor
    numbers = np.float32(step.source.zero), np.float32(unit)
    return Launch("halved", _of(eights), ("x", "y", *whole(eights), *numbers))


def _of(threads: int) -> tuple[int, int, int]:
    return (-(-threads // Launch.threads), 1, 1)
