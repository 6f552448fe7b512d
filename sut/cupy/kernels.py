"""The kernels of ``kernels.cu``, compiled for a device and called with arrays' addresses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sut.cupy.graph import Network
from sut.cupy.launch import Launch, card_of
from sut.cupy.launches import arg_max, gather, launch_of
from sut.cupy.sources import source
from sut.cupy.steps import Step


class Kernels:
    """The kernels that a network needs; compiled on first use, for the device in use then."""

    def __init__(self, cp: Any, network: Network, steps: tuple[Step, ...]) -> None:
        self._network = network
        self._card = card_of(cp)
        own = [launch for step in steps if (launch := launch_of(network, step, 1, self._card))]
        names = {launch.kernel for launch in own} | {"arg_max", "gather"}
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

    def gather(self, pointers: Mapping[str, int], y: int, batch: int, image_bytes: int) -> None:
        """The images ``samples[rows]``, copied to ``y``."""
        self._enqueue(gather(batch, image_bytes), {**pointers, "y": y})

    def _enqueue(self, launch: Launch, pointers: Mapping[str, int]) -> None:
        passed = [np.uint64(pointers[x]) if isinstance(x, str) else x for x in launch.arguments]
        function = self._functions[launch.kernel]
        function(launch.grid, (launch.threads,), tuple(passed), shared_mem=launch.shared_bytes)
