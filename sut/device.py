"""Samples on an NVIDIA GPU, and batches of them, in CuPy's arrays."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.memory import check
from sut.network import HostGather, Infer, NetworkSut

Arrays = Sequence[NDArray[np.generic]]

FILLED = 64
"""From this batch size on it is worth leaving queries to the next batch to have no empty places."""


def batch_sizes(most: int) -> tuple[int, ...]:
    """The batch sizes that get a graph: 1, powers of two from 8 on, what lies half-way between
    them from 64 on, and ``most``. Below 8 the time hardly depends on the size.
    """
    powers = [1 << i for i in range(3, most.bit_length())]
    sizes = {1, *powers, *(3 * size // 2 for size in powers if size >= FILLED)}
    return (*sorted(size for size in sizes if size < most), most)


def pinned(cp: Any, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    """An array in memory that the device can reach by itself."""
    count = int(np.prod(shape))
    held = cp.cuda.alloc_pinned_memory(count * np.dtype(dtype).itemsize)
    return np.frombuffer(held, dtype, count).reshape(shape)


def address(array: Any) -> int:
    """Where an array's data begins: NumPy's, or CuPy's on its device."""
    described = getattr(array, "__cuda_array_interface__", None) or array.__array_interface__
    return int(described["data"][0])


class Residents:
    """Samples that lie on a device while they are used, shared by its workers."""

    def __init__(self, cp: Any, device: int) -> None:
        self._cp, self._device = cp, device
        self._lock = threading.Lock()
        self._source: Arrays | None = None
        self._arrays: list[Any] = []

    def of(self, inputs: Arrays) -> list[Any]:
        """``inputs`` on the device; RuntimeError with the sizes if they do not fit there."""
        with self._lock, self._cp.cuda.Device(self._device) as used:
            if inputs is not self._source:
                self.clear()
                parts = {f"{len(inputs[0])} samples": sum(a.nbytes for a in inputs)}
                check(self._device, used.mem_info[0], parts)
                self._arrays = [self._cp.asarray(array) for array in inputs]
                used.synchronize()
                self._source = inputs
            return self._arrays

    def clear(self) -> None:
        """Let go of them, and give the device's memory back."""
        self._source = None
        self._arrays.clear()
        self._cp.get_default_memory_pool().free_all_blocks()


class DeviceGather:
    """Batches in one buffer on a device, on ``stream``.

    They are taken from ``residents``, or without any come from the host through pinned memory.
    """

    def __init__(self, cp: Any, device: int, stream: Any, residents: Residents | None) -> None:
        self._cp, self._device, self._stream = cp, device, stream
        self._residents = residents
        self._host = _PinnedGather(cp)
        self._buffers: list[Any] = []

    def __call__(self, inputs: Arrays, rows: NDArray[np.int64]) -> list[Any]:
        """``inputs`` at ``rows``: arrays on the device, written by what follows on the stream."""
        cp, count = self._cp, len(rows)
        with cp.cuda.Device(self._device), self._stream:
            if not self._buffers or len(self._buffers[0]) < count:
                self._buffers = [cp.empty((count, *a.shape[1:]), a.dtype) for a in inputs]
            views = [buffer[:count] for buffer in self._buffers]
            if self._residents is None:
                for view, brought in zip(views, self._host(inputs, rows), strict=True):
                    view.set(brought, stream=self._stream)
            else:
                wanted = cp.asarray(rows)
                for array, view in zip(self._residents.of(inputs), views, strict=True):
                    cp.take(array, wanted, axis=0, out=view)
        return views


class _PinnedGather(HostGather):
    def __init__(self, cp: Any) -> None:
        super().__init__()
        self._cp = cp

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[np.generic]:
        return pinned(self._cp, shape, dtype)


@dataclass(frozen=True)
class Worker:
    """One worker's call of the network, and the device and stream that it runs on."""

    infer: Infer
    device: int
    stream: Any


class DeviceSut(NetworkSut):
    """Take batches, gather their samples on a device, run them and answer.

    Batches are filled up to the next of ``batch_sizes(max_batch)``, since each size is prepared
    when it is first run. ``start_from_device``: samples lie on the devices before the run;
    otherwise each batch brings its own. The others are those of ``NetworkSut``.
    """

    def __init__(
        self,
        cp: Any,
        workers: Sequence[Worker],
        fixed_batch: int | None,
        *,
        name: str,
        max_batch: int,
        max_wait_us: float,
        start_from_device: bool,
    ) -> None:
        self._cp = cp
        self._residents = {x.device: Residents(cp, x.device) for x in workers}
        super().__init__(
            [x.infer for x in workers],
            fixed_batch,
            name=name,
            threads=1,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
            gathers=[
                DeviceGather(
                    cp, x.device, x.stream, self._residents[x.device] if start_from_device else None
                )
                for x in workers
            ],
            sizes=batch_sizes(max_batch),
        )

    def unload(self) -> None:
        """Let go of the samples, on the devices too."""
        super().unload()
        for device, resident in self._residents.items():
            with self._cp.cuda.Device(device):
                resident.clear()
