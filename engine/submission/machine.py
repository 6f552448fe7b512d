"""What a machine tells of itself for a system description."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psutil

from engine.system import describe

SYS = Path("/sys")
NO_ACCELERATOR = "N/A"
# Columns of nvidia-smi, by the fields that they fill.
QUERIED = {
    "accelerator_model_name": "name",
    "accelerator_memory_capacity": "memory.total",
    "accelerator_frequency": "clocks.max.sm",
    "accelerator_host_interconnect": "pcie.link.gen.max",
}


def machine(sys: Path = SYS) -> dict[str, str]:
    """Fields about processor, memory, storage, network and software, as far as they are known.

    ``sys``: where the kernel describes the hardware.
    """
    found = describe()
    sockets = _sockets(sys)
    packages = (f"{name} {version}" for name, version in found["packages"].items())
    fields = {
        "number_of_nodes": "1",
        "host_processor_model_name": found["processor"],
        "host_processors_per_node": str(sockets),
        "host_processor_core_count": str((found["physical_cores"] or 0) // sockets or ""),
        "host_processor_frequency": _frequency(),
        "host_processor_caches": _caches(sys),
        "host_memory_capacity": f"{found['memory_gib']:g} GiB",
        "host_storage_capacity": f"{psutil.disk_usage('/').total / 2**30:.0f} GiB",
        "host_storage_type": _storage(sys),
        "host_network_card_count": str(len(list((sys / "class/net").glob("*/device"))) or ""),
        "operating_system": _operating_system(),
        "other_software_stack": ", ".join([f"Python {found['python']}", *packages]),
    }
    return {name: value for name, value in fields.items() if value and value != "unknown"}


def accelerators(devices: Sequence[int]) -> dict[str, str]:
    """Fields about the GPUs with these numbers, as far as their driver tells."""
    if not devices:
        names = ("model_name", "memory_capacity", "host_interconnect", "interconnect")
        none = dict.fromkeys((f"accelerator_{name}" for name in names), NO_ACCELERATOR)
        return {
            **none,
            "accelerator_memory_configuration": NO_ACCELERATOR,
            "accelerators_per_node": "0",
        }
    command = [
        "nvidia-smi",
        f"--id={','.join(map(str, devices))}",
        f"--query-gpu={','.join(QUERIED.values())}",
        "--format=csv,noheader",
    ]
    counted = {"accelerators_per_node": str(len(devices))}
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return counted
    rows = [[cell.strip() for cell in line.split(",")] for line in said.stdout.splitlines()]
    columns = dict(zip(QUERIED, zip(*rows, strict=False), strict=False))
    found = {name: ", ".join(dict.fromkeys(cells)) for name, cells in columns.items()}
    if link := found.get("accelerator_host_interconnect"):
        found["accelerator_host_interconnect"] = f"PCIe Gen{link}"
    return counted | {name: value for name, value in found.items() if "N/A" not in value}


def _sockets(sys: Path) -> int:
    ids = sys.glob("devices/system/cpu/cpu[0-9]*/topology/physical_package_id")
    return len({text for file in ids if (text := _read(file))}) or 1


def _caches(sys: Path) -> str:
    """Caches of one processor as in ``L1d 32K, L1i 32K, L2 1024K, L3 33792K``."""
    found = []
    for index in sorted(sys.glob("devices/system/cpu/cpu0/cache/index[0-9]*")):
        level, kind, size = (_read(index / name) for name in ("level", "type", "size"))
        letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
        if level and size:
            found.append(f"L{level}{letter} {size}")
    return ", ".join(found)


def _storage(sys: Path) -> str:
    disks = [disk for disk in (sys / "block").glob("*") if (disk / "device").exists()]
    kinds = {"0": "SSD", "1": "HDD"}
    found = {
        "NVMe SSD" if disk.name.startswith("nvme") else kinds.get(_read(disk / "queue/rotational"))
        for disk in disks
    }
    # A virtual disk says that it rotates, whatever lies behind it.
    return (
        "" if any(disk.name.startswith("vd") for disk in disks) else ", ".join(filter(None, found))
    )


def _frequency() -> str:
    frequency = psutil.cpu_freq()
    return f"{frequency.max:.0f} MHz" if frequency and frequency.max else ""


def _operating_system() -> str:
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.platform()
    return f"{name}, {platform.system()} {platform.release()}"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
