"""Matrix products by cuBLASLt, which CuPy can neither tune nor record in a graph."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

WORKSPACE_BYTES = 32 << 20
OFFERED = 6
"""Algorithms that are timed for each product, the likeliest first."""
RUNS = 4
SINGLE, HALF = 0, 2
COMPUTE_SINGLE = 68
TRANSPOSED, PLAIN = 1, 0
TRANSPOSE_A = 3
BATCH_COUNT, BATCH_OFFSET = 5, 6
MOST_WORKSPACE = 1


class _Offer(ctypes.Structure):
    _fields_ = (
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    )


class Products:
    """What all streams of a device share: the library's handle and the algorithms chosen.

    ``cp``: CuPy. Raises RuntimeError if the library is not there.
    """

    def __init__(self, cp: Any) -> None:
        self._cp, self._lib = cp, _library(cp)
        self._handle = ctypes.c_void_p()
        self._call("cublasLtCreate", ctypes.byref(self._handle))
        self._chosen: dict[tuple[Any, ...], Callable[[int, int, int, Any, int], None]] = {}

    def multiply(self, x: Any, weights: Any, out: Any, stream: Any, workspace: Any) -> None:
        """Enqueue ``out`` [..., n, k] = ``x`` [..., n, m] @ ``weights`` [..., k, m] transposed.

        fp16, summed up in fp32; ``out`` in fp16 or fp32. ``workspace``: uint8 [WORKSPACE_BYTES].
        The first time that there is such a product, algorithms are timed.
        """
        key = (x.shape, weights.shape, out.dtype.char)
        addresses = (x.data.ptr, weights.data.ptr, out.data.ptr)
        if key not in self._chosen:
            self._chosen[key] = min(
                self._offers(*key),
                key=lambda run: self._timed(lambda: run(*addresses, stream, workspace), stream),
            )
        self._chosen[key](*addresses, stream, workspace)

    def _timed(self, run: Callable[[], None], stream: Any) -> float:
        """Milliseconds of RUNS runs."""
        event = self._cp.cuda.Event
        run()
        began, ended = event(), event()
        began.record(stream)
        for _ in range(RUNS):
            run()
        ended.record(stream)
        ended.synchronize()
        return float(self._cp.cuda.get_elapsed_time(began, ended))

    def _offers(
        self, x: tuple[int, ...], weights: tuple[int, ...], out: str
    ) -> Iterator[Callable[..., None]]:
        """Ways to compute it. The library's matrices lie by columns: ours, transposed."""
        (*batch, n, m), k = x, weights[-2]
        count = batch[0] if batch else 1
        kind = HALF if out == "e" else SINGLE
        product = ctypes.c_void_p()
        self._call("cublasLtMatmulDescCreate", ctypes.byref(product), COMPUTE_SINGLE, SINGLE)
        way = ctypes.c_int32(TRANSPOSED)
        self._call(
            *("cublasLtMatmulDescSetAttribute", product, TRANSPOSE_A),
            *(ctypes.byref(way), ctypes.c_size_t(4)),
        )
        shapes = ((HALF, m, k), (HALF, m, n), (kind, k, n))
        a, b, c = (self._layout(*shape, count) for shape in shapes)
        wanted = ctypes.c_void_p()
        self._call("cublasLtMatmulPreferenceCreate", ctypes.byref(wanted))
        space = ctypes.c_uint64(WORKSPACE_BYTES)
        self._call(
            *("cublasLtMatmulPreferenceSetAttribute", wanted, MOST_WORKSPACE),
            *(ctypes.byref(space), ctypes.c_size_t(8)),
        )
        offers, found = (_Offer * OFFERED)(), ctypes.c_int()
        self._call(
            *("cublasLtMatmulAlgoGetHeuristic", self._handle, product, a, b, c, c, wanted),
            *(OFFERED, offers, ctypes.byref(found)),
        )
        one, none = ctypes.c_float(1), ctypes.c_float(0)

        def runs(offer: _Offer) -> Callable[..., None]:
            def run(x: int, weights: int, out: int, stream: Any, workspace: Any) -> None:
                self._call(
                    *("cublasLtMatmul", self._handle, product, ctypes.byref(one)),
                    *(ctypes.c_void_p(weights), a, ctypes.c_void_p(x), b, ctypes.byref(none)),
                    *(ctypes.c_void_p(out), c, ctypes.c_void_p(out), c, ctypes.byref(offer)),
                    *(ctypes.c_void_p(workspace.data.ptr), ctypes.c_size_t(WORKSPACE_BYTES)),
                    ctypes.c_void_p(stream.ptr),
                )

            return run

        for offer in offers[: found.value]:
            if offer.state == 0:
                yield runs(offer)

    def _layout(self, kind: int, rows: int, columns: int, count: int) -> ctypes.c_void_p:
        made = ctypes.c_void_p()
        self._call(
            *("cublasLtMatrixLayoutCreate", ctypes.byref(made), kind),
            *(ctypes.c_uint64(rows), ctypes.c_uint64(columns), ctypes.c_int64(rows)),
        )
        if count > 1:
            how_many, apart = ctypes.c_int32(count), ctypes.c_int64(rows * columns)
            for attribute, value in ((BATCH_COUNT, how_many), (BATCH_OFFSET, apart)):
                size = ctypes.c_size_t(ctypes.sizeof(value))
                self._call(
                    *("cublasLtMatrixLayoutSetAttribute", made, attribute),
                    *(ctypes.byref(value), size),
                )
        return made

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._lib, name)(*arguments)
        if status:
            raise RuntimeError(f"cuBLASLt: {name} failed with status {status}.")


def _library(cp: Any) -> ctypes.CDLL:
    """The one that came with CuPy's own cuBLAS, or else of NVIDIA's packages."""
    cp.cuda.device.get_cublas_handle()
    name = f"libcublasLt.so.{cp.cuda.runtime.runtimeGetVersion() // 1000}"
    spec = find_spec("nvidia")
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    files = [str(x) for folder in folders for x in Path(folder).glob(f"*/lib/{name}")]
    for file in (name, *files):
        try:
            return ctypes.CDLL(file)
        except OSError:
            continue
    raise RuntimeError(
        f"sut=cupy needs {name} for translation. Install it with: pip install nvidia-cublas"
    )
