"""Where a translation is computed: arrays, matrix products and kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from sut.cupy.products import WORKSPACE_BYTES, Products
from sut.cupy.sources import source
from sut.device import address

Shape = tuple[int, ...]
NAMES = (
    *("embed", "encode", "begin", "take", "decode"),
    *("attend", "candidates", "choose", "answer"),
)


class Machine(Protocol):
    """``number``: the dtype of weights and tensors. ``threads``: of a block, ``most_threads``: of
    one where there are few.
    """

    number: Any
    threads: int
    most_threads: int

    def array(self, values: Any) -> Any:
        """A copy of a NumPy array."""

    def empty(self, shape: Shape, dtype: Any) -> Any:
        """An array that holds anything."""

    def multiply(self, x: Any, weights: Any, out: Any) -> None:
        """``out`` [..., n, k] = ``x`` [..., n, m] @ ``weights`` [..., k, m] transposed."""

    def launch(
        self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Any]
    ) -> None:
        """A kernel of ``translation.cu``: arguments are arrays, NumPy numbers, or None."""


class Kernels:
    """The kernels of ``translation.cu`` for so many beams, compiled for the device in use."""

    def __init__(self, cp: Any, beams: int) -> None:
        module = cp.RawModule(
            code=source("translation"), options=("--std=c++17", f"-DBEAMS={beams}")
        )
        self.functions = {name: module.get_function(name) for name in NAMES}


class Gpu:
    """The device in use, in half precision; what it is told to do is put on ``stream``."""

    number = np.float16
    threads, most_threads = 256, 1024

    def __init__(self, cp: Any, kernels: Kernels, products: Products, stream: Any) -> None:
        self._cp, self._kernels, self._products = cp, kernels, products
        self._stream = stream
        self._workspace = cp.empty(WORKSPACE_BYTES, cp.uint8)

    def array(self, values: Any) -> Any:
        """A copy of a NumPy array."""
        return self._cp.asarray(values)

    def empty(self, shape: Shape, dtype: Any) -> Any:
        """An array that holds anything."""
        return self._cp.empty(shape, dtype)

    def multiply(self, x: Any, weights: Any, out: Any) -> None:
        """A product, by cuBLASLt."""
        self._products.multiply(x, weights, out, self._stream, self._workspace)

    def launch(
        self, name: str, grid: Sequence[int], threads: int, arguments: Sequence[Any]
    ) -> None:
        """A kernel."""
        given = tuple(x if isinstance(x, np.generic) else np.uint64(_place(x)) for x in arguments)
        with self._stream:
            self._kernels.functions[name](tuple(grid), (threads,), given)


def _place(array: Any) -> int:
    return 0 if array is None else address(array)
