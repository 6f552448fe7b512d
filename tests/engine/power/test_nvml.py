"""NVIDIA's library, played by a module of its function names."""

import sys
import time
from types import ModuleType, SimpleNamespace

import pytest

from engine.errors import ConfigError
from engine.power.meter import PowerMeter
from engine.power.nvml import Nvml, SummedPower

BUSES = ("0000:01:00.0", "0000:02:00.0")


@pytest.fixture
def nvml(monkeypatch):
    """Two GPUs of 300 W; ``nvml.old`` holds the buses of those without a counter."""
    module = ModuleType("pynvml")

    class NVMLError(Exception):
        pass

    class NotSupported(NVMLError):
        pass

    def by_bus(bus):
        if bus.decode() not in BUSES:
            raise NVMLError("Not Found")
        return SimpleNamespace(bus=bus.decode())

    def energy_mj(handle):
        if handle.bus in module.old:
            raise NotSupported("Not Supported")
        return int(time.monotonic() * 300e3)

    module.old = set()
    module.NVMLError, module.NVMLError_NotSupported = NVMLError, NotSupported
    module.nvmlInit = lambda: None
    module.nvmlDeviceGetHandleByPciBusId = by_bus
    module.nvmlDeviceGetName = lambda handle: b"Test GPU"
    module.nvmlDeviceGetTotalEnergyConsumption = energy_mj
    module.nvmlDeviceGetPowerUsage = lambda handle: 300_000
    monkeypatch.setitem(sys.modules, "pynvml", module)
    return module


@pytest.mark.parametrize("old", [set(), {BUSES[1]}, set(BUSES)], ids=len)
def test_counters_and_summed_power_say_the_same(nvml, old):
    nvml.old = old
    energy = PowerMeter(Nvml(BUSES), period_s=0.05).over(0.3)
    assert energy.average_power_w == pytest.approx(600, rel=0.1)
    assert list(energy.parts_j) == [f"Test GPU {bus}" for bus in BUSES]


def test_summed_power_is_the_area_under_the_readings(monkeypatch):
    readings = iter([(0.0, 100.0), (1.0, 300.0), (3.0, 300.0)])
    now = {}

    def power_w():
        return now["w"]

    summed, got = SummedPower(power_w), []
    for at_s, watts in readings:
        now["w"] = watts
        monkeypatch.setattr(time, "monotonic", lambda at_s=at_s: at_s)
        got.append(summed())
    assert got == [0, 200_000_000, 800_000_000]


def test_a_gpu_that_is_not_there(nvml):
    with pytest.raises(ConfigError, match=r"0000:09:00.0 cannot be read"):
        Nvml(["0000:09:00.0"])


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(ConfigError, match="pip install nvidia-ml-py"):
        Nvml(BUSES)
