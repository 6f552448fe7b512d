"""The energy counters of NVIDIA GPUs, by NVIDIA's management library (package nvidia-ml-py).

GPUs since Volta count their energy since the driver was loaded, in millijoules; of others the
power is read and integrated. What is counted is the whole board, with its memory.
Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

INSTALL = "pip install nvidia-ml-py"


class Nvml:
    """The GPUs with these PCI bus ids. Raises ConfigError where one cannot be read."""

    name = "nvml"

    def __init__(self, buses: Sequence[str]) -> None:
        nvml = _library()
        try:
            nvml.nvmlInit()
            handles = [nvml.nvmlDeviceGetHandleByPciBusId(bus.encode()) for bus in buses]
            names = [_plain(nvml.nvmlDeviceGetName(handle)) for handle in handles]
            self._counters = [_counter(nvml, handle) for handle in handles]
        except nvml.NVMLError as error:
            raise ConfigError(
                f"power=nvml: the GPUs at {', '.join(buses)} cannot be read ({error}). Check "
                "nvidia-smi and the driver, or use power=none."
            ) from error
        self.parts = tuple(f"{name} {bus}" for name, bus in zip(names, buses, strict=True))
        self.wraps_uj = np.zeros(len(handles), np.int64)

    def read_uj(self) -> NDArray[np.int64]:
        """int64[parts]: microjoules since the driver was loaded, or since the first reading."""
        return np.fromiter((read() for read in self._counters), np.int64, len(self._counters))


class SummedPower:
    """Energy of a device that shows only its power: the trapezoids between the readings."""

    def __init__(self, power_w: Callable[[], float]) -> None:
        self._power_w = power_w
        self._last: tuple[float, float] | None = None
        self._sum_j = 0.0

    def __call__(self) -> int:
        """Microjoules since the first call."""
        now = time.monotonic(), self._power_w()
        if self._last is not None:
            self._sum_j += (now[0] - self._last[0]) * (now[1] + self._last[1]) / 2
        self._last = now
        return round(self._sum_j * 1e6)


def bus_ids(devices: Sequence[int]) -> list[str]:
    """PCI bus ids of CUDA's devices, whose numbers may be other than the library's."""
    from engine.errors import SutError
    from sut.cupy.needs import modules

    try:
        cupy, _ = modules(devices)
    except RuntimeError as error:
        raise SutError(str(error)) from error
    return [cupy.cuda.Device(device).pci_bus_id for device in devices]


def _library() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise ConfigError(
            f"power=nvml needs NVIDIA's management library ({error}): {INSTALL}."
        ) from error


def _counter(nvml: Any, handle: Any) -> Callable[[], int]:
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except nvml.NVMLError_NotSupported:
        return SummedPower(lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
    return lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1000


def _plain(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
