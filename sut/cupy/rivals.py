"""Our own kernels for convolutions, as plans beside cuDNN's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sut.cupy import pointwise, window
from sut.cupy.convolution import Problem
from sut.cupy.launch import Launch, card_of
from sut.cupy.sources import source

KERNELS = {"pointwise": pointwise.launches, "window": window.launches}


class Rivals:
    """The kernels, compiled for the device in use when a kind of problem first needs them."""

    def __init__(self, cp: Any) -> None:
        self._cp = cp
        self._sources = {name: source("numbers", "tensor_cores", name) for name in KERNELS}
        text = "".join(self._sources.values())
        self.version = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._functions: dict[str, Any] = {}

    def plans(self, problem: Problem) -> list[RivalPlan]:
        """One for each way to share the work out; none if no kernel solves the problem."""
        card = card_of(self._cp)
        for name, launches in KERNELS.items():
            if own := launches(problem, card):
                return [RivalPlan(self, name, launch, own) for launch in own]
        return []

    def function(self, name: str, launch: Launch, together: list[Launch]) -> Any:
        """The compiled kernel; those that are tried ``together`` are compiled together."""
        if launch.kernel not in self._functions:
            names = [x.kernel for x in together]
            module = self._cp.RawModule(
                code=self._sources[name], options=("--std=c++17",), name_expressions=names
            )
            for each in together:
                function = self._functions[each.kernel] = module.get_function(each.kernel)
                function.max_dynamic_shared_size_bytes = each.shared_bytes
        return self._functions[launch.kernel]


class RivalPlan:
    """One way to share the work of a problem out."""

    workspace = 0

    def __init__(
        self, kernels: Rivals, source: str, launch: Launch, together: list[Launch]
    ) -> None:
        self._kernels, self._source = kernels, source
        self._launch, self._together = launch, together
        self.name = launch.kernel

    def build(self) -> None:
        """Compile the kernels, if this has not been done."""
        self._kernels.function(self._source, self._launch, self._together)

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the stream in use."""
        own = self._launch
        function = self._kernels.function(self._source, own, self._together)
        given = [np.uint64(pointers.get(x, 0)) if isinstance(x, str) else x for x in own.arguments]
        function(own.grid, (own.threads,), tuple(given), shared_mem=own.shared_bytes)
