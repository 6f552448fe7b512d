"""Our own kernels for convolutions, as plans beside cuDNN's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sut.cupy import pointwise, window
from sut.cupy.convolution import Problem
from sut.cupy.launch import Card, Launch
from sut.cupy.sources import source

KERNELS = {"pointwise": pointwise.launches, "window": window.launches}


class Rivals:
    """The kernels, compiled for ``card``, the device in use, when a kind of problem first needs
    them.
    """

    def __init__(self, cp: Any, card: Card) -> None:
        self._cp, self._card = cp, card
        self._sources = {name: source("numbers", "tensor_cores", name) for name in KERNELS}
        text = "".join(self._sources.values())
        self.version = hashlib.sha256(text.encode()).hexdigest()[:8]
        self._functions: dict[str, Any] = {}

    def plans(self, problem: Problem) -> list[RivalPlan]:
        """One for each way to share the work out; none if no kernel solves the problem."""
        for name, launches in KERNELS.items():
            if own := launches(problem, self._card):
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
        function = self._kernels.function(self._source, self._launch, self._together)
        self._launch.enqueue(function, pointers)

    def compiled(self) -> None:
        """CuPy keeps what it compiles."""
