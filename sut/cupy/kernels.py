"""The kernels of ``kernels.cu``, compiled for a device and called with arrays' addresses."""

from __future__ import annotations

from typing import Any

import numpy as np

from sut.cupy.graph import Convolution, MaxPool, Network
from sut.cupy.pointwise import UNLIMITED
from sut.cupy.sources import TYPES, source
from sut.cupy.steps import CHANNELS, Step, number_of, stem_steps, stored_image

THREADS = 256
TALL, WIDE = 8, 112
"""Lines and pixels that a block of the first convolution makes."""
NEIGHBOURS = 4
"""Pixels that a thread of a depthwise convolution makes."""


class Kernels:
    """The kernels that a network needs; compiled on first use, for the device in use then."""

    def __init__(self, cp: Any, network: Network, steps: tuple[Step, ...]) -> None:
        self._network = network
        names = {name for step in steps if (name := self._name(step))} | {"arg_max"}
        module = cp.RawModule(
            code=source("numbers", "kernels"),
            options=("--std=c++17",),
            name_expressions=sorted(names),
        )
        self._functions = {name: module.get_function(name) for name in names}
        for name, function in self._functions.items():
            if name.startswith("stem"):
                function.max_dynamic_shared_size_bytes = _shared_bytes(steps[0])

    def stem(self, step: Step, pointers: dict[str, int], batch: int) -> None:
        """The first convolution, of the images ``samples[rows]``."""
        lines, columns = stored_image(self._network)
        _, height, width = self._network.shapes[step.layer.name]
        grid = (-(-width // WIDE), -(-height // TALL), batch)
        arguments = (
            np.uint64(pointers["samples"]),
            np.uint64(pointers["rows"]),
            np.uint64(pointers["filters"]),
            np.uint64(pointers["bias"]),
            np.uint64(pointers["y"]),
            np.int64(lines * columns * CHANNELS),
            *map(np.int32, (columns * CHANNELS, height, width)),
            *_limits(step),
        )
        function = self._functions[self._name(step)]
        function(grid, (THREADS,), arguments, shared_mem=_shared_bytes(step))

    def depthwise(self, step: Step, pointers: dict[str, int], batch: int) -> None:
        """A 3x3 convolution of each channel."""
        layer = step.layer
        assert isinstance(layer, Convolution)
        channels, height, width = self._network.shapes[layer.source]
        _, out_height, out_width = self._network.shapes[layer.name]
        threads = batch * out_height * -(-out_width // NEIGHBOURS) * (channels // 8)
        sizes = (batch, channels, height, width, out_height, out_width, *layer.pads[:2])
        arguments = (
            *(np.uint64(pointers[name]) for name in ("x", "filters", "bias", "y")),
            *map(np.int32, sizes),
            np.float32(step.source.zero),
            *_limits(step),
        )
        self._launch(self._name(step), threads, arguments)

    def max_pool(self, step: Step, pointers: dict[str, int], batch: int) -> None:
        """The largest value of each window."""
        layer = step.layer
        assert isinstance(layer, MaxPool)
        channels, *sides = self._network.shapes[layer.source]
        _, *results = self._network.shapes[layer.name]
        sizes = (batch, channels, *sides, *results, layer.kernel, layer.stride, *layer.pads[:2])
        arguments = (np.uint64(pointers["x"]), np.uint64(pointers["y"]), *map(np.int32, sizes))
        threads = batch * results[0] * results[1] * (channels // 8)
        self._launch(self._name(step), threads, arguments)

    def average(self, step: Step, pointers: dict[str, int], batch: int) -> None:
        """The mean over all pixels."""
        channels, height, width = self._network.shapes[step.layer.source]
        arguments = (
            np.uint64(pointers["x"]),
            np.uint64(pointers["y"]),
            np.int32(channels),
            np.int32(height * width),
            np.float32(step.source.zero),
            np.float32(1 / step.source.factor),
        )
        function = self._functions[self._name(step)]
        function((-(-channels // 256), batch), (32, 8), arguments)

    def arg_max(self, x: int, y: int, batch: int, count: int, pitch: int) -> None:
        """The place of the largest of each row's first ``count`` values."""
        sizes = map(np.int32, (batch, count, pitch))
        self._launch("arg_max", batch * 32, (np.uint64(x), np.uint64(y), *sizes))

    def _name(self, step: Step) -> str:
        """The kernel for a step, empty for one that cuDNN runs."""
        layer = step.layer
        made = TYPES.get(number_of(self._network, layer.name), "")
        match step.kind, layer:
            case "stem", Convolution():
                outputs, _, kernel, _ = layer.weights.shape
                return f"stem<{made}, {kernel}, {stem_steps(kernel)}, {outputs}, {TALL}, {WIDE}>"
            case "depthwise", Convolution():
                return f"depthwise<{made}, {layer.stride}, {NEIGHBOURS}>"
            case "max_pool", _:
                return f"max_pool<{made}>"
            case "average", _:
                return f"average<{TYPES[number_of(self._network, layer.source)]}>"
        return ""

    def _launch(self, name: str, threads: int, arguments: tuple[Any, ...]) -> None:
        self._functions[name]((-(-threads // THREADS),), (THREADS,), arguments)


def _limits(step: Step) -> tuple[np.float32, np.float32]:
    low = -UNLIMITED if step.low is None else step.low
    high = UNLIMITED if step.high is None else step.high
    return np.float32(low), np.float32(high)


def _shared_bytes(step: Step) -> int:
    """Shared memory of the first convolution: its lines of the image and all filters."""
    layer = step.layer
    assert isinstance(layer, Convolution)
    kernel = layer.weights.shape[2]
    lines, chunks = (TALL - 1) * 2 + kernel, WIDE - 1 + 2 * stem_steps(kernel)
    return lines * chunks * 16 + step.arrays["filters"].nbytes
