"""The running average power limit (RAPL) counters, as Linux shows them under powercap.

A zone ``intel-rapl:0`` is a processor package (on AMD too), ``intel-rapl:0:1`` a part of it. Each
has ``name``, ``energy_uj`` and ``max_energy_range_uj``, at which the counter starts again at 0.
Source: https://docs.kernel.org/power/powercap/powercap.html
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError

PREFIX = "intel-rapl:"


class Rapl:
    """The packages under ``root``, and the memory that is counted beside them.

    Cores and graphics are within their package, and the platform (psys) holds the packages:
    none of these is added. Raises ConfigError where nothing can be read.
    """

    name = "rapl"

    def __init__(self, root: Path) -> None:
        zones = [zone for zone in sorted(root.glob(f"{PREFIX}*")) if (zone / "name").is_file()]
        named = [(zone, _text(zone / "name")) for zone in zones]
        names = {zone.name: name for zone, name in named}
        self._zones = [zone for zone, name in named if name.startswith(("package", "dram"))]
        if not self._zones:
            raise ConfigError(
                f"power=rapl finds no processor package under {root}/{PREFIX}*: this kernel or "
                "virtual machine does not show RAPL (try: modprobe intel_rapl_msr). Use "
                "power=none, or set power.root=FOLDER if they lie elsewhere."
            )
        self.parts = tuple(_part(zone.name, names) for zone in self._zones)
        ranges = [int(_text(zone / "max_energy_range_uj")) for zone in self._zones]
        self.wraps_uj = np.array(ranges, np.int64)
        for zone in self._zones:
            _text(zone / "energy_uj")

    def read_uj(self) -> NDArray[np.int64]:
        """int64[parts]: the counters, in microjoules."""
        counts = (int((zone / "energy_uj").read_text()) for zone in self._zones)
        return np.fromiter(counts, np.int64, len(self._zones))


def _part(zone: str, names: dict[str, str]) -> str:
    """The zone's name, with that of the zone that it is a part of."""
    parent = names.get(zone.rpartition(":")[0])
    return names[zone] if parent is None else f"{parent} {names[zone]}"


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except PermissionError:
        raise ConfigError(
            f"power=rapl: {file} may not be read; Linux lets only root read it. Run as root, or "
            "let this user: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj "
            "(until the next start), or use power=none."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"power=rapl: {file} cannot be read ({error.strerror}): use power=none."
        ) from error
