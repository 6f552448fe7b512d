"""One convolution and what follows it as one cuDNN graph, and its execution plans.

    y = clip(scale * conv(x, w) + bias + residual_scale * residual, low, high)

Tensors lie channels-last. The scales are there for 8-bit numbers only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sut.cupy.numbers import ONE_BYTE, cudnn_type


@dataclass(frozen=True)
class Problem:
    """A convolution by everything that a plan depends on.

    ``image``: batch, channels, height, width; ``filters``: outputs, kernel height and width.
    ``pads``: top, left, bottom, right. ``dtype``: of image, filters and residual, ``out`` of the
    result, by the names in ``sut.cupy.numbers``. ``low``, ``high``: None where nothing is clipped.
    """

    image: tuple[int, int, int, int]
    filters: tuple[int, int, int]
    stride: int
    pads: tuple[int, int, int, int]
    dtype: str
    out: str
    residual: bool
    low: float | None
    high: float | None

    @property
    def result(self) -> tuple[int, int, int, int]:
        """Batch, channels, height and width of what comes out."""
        batch, _, height, width = self.image
        outputs, *kernel = self.filters
        top, left, bottom, right = self.pads
        return (
            batch,
            outputs,
            (height + top + bottom - kernel[0]) // self.stride + 1,
            (width + left + right - kernel[1]) // self.stride + 1,
        )

    @property
    def operations(self) -> int:
        """Multiplications and additions."""
        batch, outputs, height, width = self.result
        window = self.image[1] * self.filters[1] * self.filters[2]
        return 2 * batch * outputs * height * width * window

    @property
    def least_bytes(self) -> int:
        """Bytes moved if everything were read once and written once."""
        size = 1 if self.dtype in ONE_BYTE else 2
        filters = self.filters[0] * self.image[1] * self.filters[1] * self.filters[2]
        results = int(np.prod(self.result)) * (1 + self.residual)
        return size * (int(np.prod(self.image)) + filters + results)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The tensors that are read or written, by name."""
        scales = ("scale",) if self.dtype in ONE_BYTE else ()
        shares = ("residual_scale",) if scales and self.residual else ()
        return ("x", "w", *scales, "bias", *(("residual",) if self.residual else ()), *shares, "y")

    @property
    def key(self) -> str:
        """The problem as text, for the file of tuned plans."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items())


class Plan(Protocol):
    """One way to solve a problem on a device."""

    name: str
    workspace: int
    """Bytes that it needs, known once it is built."""

    def build(self) -> None:
        """Compile it; raises what the device's library raises."""

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the handle's stream, which is the one in use; ``pointers``: device
        addresses by ``Problem.tensors``.
        """

    def compiled(self) -> bytes | None:
        """What to keep for a ``CompiledPlan``, once it is built; None if there is no need to."""


UIDS = {"x": 1, "w": 2, "scale": 3, "bias": 4, "residual": 5, "residual_scale": 6, "y": 7}
"""What cuDNN knows a tensor by, in a graph and in a compiled plan."""
VERSION = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
"""Of the graphs that are built here: plans that were compiled of others are not read."""


CANDIDATES = 6
"""Plans of cuDNN's that are timed, the likeliest first."""


class Graph:
    """The cuDNN graph of a problem; raises what cuDNN raises if there is none."""

    def __init__(self, cudnn: Any, handle: Any, problem: Problem) -> None:
        kind = cudnn.data_type
        graph = cudnn.pygraph(
            io_data_type=getattr(kind, cudnn_type(problem.dtype)),
            intermediate_data_type=kind.FLOAT,
            compute_data_type=kind.FLOAT,
            handle=handle,
        )
        outputs, *kernel = problem.filters
        filters = (outputs, problem.image[1], kernel[0], kernel[1])
        x = _tensor(graph, "x", problem.image)
        w = _tensor(graph, "w", filters)
        integer = problem.dtype == "int8"
        top, left, bottom, right = problem.pads
        y = graph.conv_fprop(
            image=x,
            weight=w,
            pre_padding=[top, left],
            post_padding=[bottom, right],
            stride=[problem.stride] * 2,
            dilation=[1, 1],
            compute_data_type=kind.INT32 if integer else kind.FLOAT,
        )
        if problem.dtype in ONE_BYTE:
            if integer:
                y.set_data_type(kind.INT32)
            y = graph.mul(a=y, b=_tensor(graph, "scale", (1, outputs, 1, 1), kind.FLOAT))
        y = graph.add(a=y, b=_tensor(graph, "bias", (1, outputs, 1, 1), kind.FLOAT))
        if problem.residual:
            residual = _tensor(graph, "residual", problem.result)
            if problem.dtype in ONE_BYTE:
                share = _tensor(graph, "residual_scale", (1, outputs, 1, 1), kind.FLOAT)
                residual = graph.mul(a=residual, b=share)
            y = graph.add(a=y, b=residual)
        if problem.low is not None:
            limits = {} if problem.high is None else {"upper_clip": problem.high}
            y = graph.relu(input=y, lower_clip=problem.low, **limits)
        y.set_output(True).set_data_type(getattr(kind, cudnn_type(problem.out)))
        y.set_dim(list(problem.result)).set_stride(strides(problem.result))
        y.set_uid(UIDS["y"])
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        self._graph = graph

    def plans(self) -> list[CudnnPlan]:
        """What heuristics offer, the likeliest first."""
        count = int(self._graph.get_execution_plan_count())
        return [CudnnPlan(self._graph, index) for index in range(count)]


class CudnnPlan:
    """The plan of a graph at place ``index``."""

    def __init__(self, graph: Any, index: int) -> None:
        self._graph, self._index = graph, index
        self.name = str(graph.get_plan_name_at_index(index))
        self.workspace = 0

    def build(self) -> None:
        """Compile it, which takes 0.4 s or more; raises what cuDNN raises."""
        self._graph.build_plan_at_index(self._index)
        self.workspace = int(self._graph.get_workspace_size_plan_at_index(self._index))

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the handle's stream."""
        self._graph.execute_plan_at_index(_by_uid(pointers), workspace, self._index, handle)

    def compiled(self) -> bytes:
        """The compiled plan, about 75 KB; raises what cuDNN raises if its engine has no such."""
        self._graph.build_plan_at_index(self._index)  # which one the graph writes: built last
        return bytes(self._graph.serialize())


class CompiledPlan:
    """A plan that was compiled by this cuDNN for this kind of device, by another process.

    ``kept``: it was found in the book, and need not be written again.
    """

    def __init__(
        self, cudnn: Any, handle: Any, name: str, compiled: bytes, kept: bool = False
    ) -> None:
        self._cudnn, self._handle, self._compiled = cudnn, handle, compiled
        self.name, self._kept = name, kept
        self.workspace = 0
        self._graph: Any = None

    def build(self) -> None:
        """Load it once, which takes 5 ms; raises what cuDNN raises."""
        if self._graph is None:
            graph = self._cudnn.pygraph(handle=self._handle)
            graph.deserialize(self._handle, list(self._compiled))
            self.workspace = int(graph.get_workspace_size())
            self._graph = graph

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the handle's stream."""
        self._graph.execute(_by_uid(pointers), workspace, handle)

    def compiled(self) -> bytes | None:
        """As it was given."""
        return None if self._kept else self._compiled


def _by_uid(pointers: Mapping[str, int]) -> dict[int, int]:
    return {UIDS[name]: pointer for name, pointer in pointers.items()}


def strides(shape: tuple[int, int, int, int]) -> list[int]:
    """Channels-last strides, in elements, of a tensor given as n, c, h, w."""
    _, channels, height, width = shape
    return [channels * height * width, 1, channels * width, channels]


def _tensor(graph: Any, name: str, shape: tuple[int, int, int, int], dtype: Any = None) -> Any:
    kind = {} if dtype is None else {"data_type": dtype}
    return graph.tensor(name=name, uid=UIDS[name], dim=list(shape), stride=strides(shape), **kind)
