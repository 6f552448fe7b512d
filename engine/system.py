"""What machine and software a result was measured on."""

from __future__ import annotations

import os
import platform
from functools import cache
from importlib import metadata
from typing import Any

import psutil

PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino", "scipy", "hydra-core", "mlflow")


def describe() -> dict[str, Any]:
    """Processor, memory, system and versions; ``load_1min`` is the machine's load beforehand."""
    cpu = _processor()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd")
    return {
        "processor": cpu.get("brand_raw") or platform.processor() or "unknown",
        "architecture": platform.machine(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(),
        "usable_logical_cores": _usable_logical_cores(),
        "instruction_sets": sorted(set(wanted) & set(cpu.get("flags", []))),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1min": round(psutil.getloadavg()[0], 2),
        "operating_system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
    }


def usable_cores() -> int:
    """Physical cores that this process may run on."""
    return max(1, min(_usable_logical_cores() or 1, psutil.cpu_count(logical=False) or 1))


def _usable_logical_cores() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


@cache
def _processor() -> dict[str, Any]:
    from cpuinfo import get_cpu_info

    return dict(get_cpu_info())


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
