"""Energy of the devices while they are measured, by their own counters: an estimate.

This package knows counters and time; it knows nothing of networks, traffic or verdicts.
"""

from __future__ import annotations

from pathlib import Path

from engine.config import Config, SimulatedSut
from engine.errors import ConfigError
from engine.power.meter import Energy, PowerMeter, Source

__all__ = ("Energy", "PowerMeter", "meter_for")


def meter_for(config: Config) -> PowerMeter | None:
    """The meter that ``power`` names, None for none; its counters have been read once.

    Raises ConfigError where they are missing or may not be read.
    """
    if config.power.kind == "none":
        return None
    if isinstance(config.sut, SimulatedSut):
        raise ConfigError(f"power={config.power.kind}: a simulated system takes no energy.")
    return PowerMeter(_source(config))


def _source(config: Config) -> Source:
    if config.power.kind == "rapl":
        from engine.power.rapl import Rapl

        return Rapl(Path(config.power.root))
    if not config.gpus:
        raise ConfigError(
            f"power=nvml reads the GPUs of sut.devices, and sut={config.sut.name} runs on none: "
            "use power=rapl, or sut=cupy."
        )
    from engine.power.nvml import Nvml, bus_ids

    return Nvml(bus_ids(config.gpus))
