"""What a system needs beyond the installation: asked for only when a network is to be run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

CUPY = "pip install 'cupy-cuda13x[ctk]'"
TWELVE = "(for CUDA 12: the packages that end in cuda12x and cu12)"


def module(name: str, what: str, system: str, install: str) -> ModuleType:
    """The module ``name``; RuntimeError with how to get it if ``system`` cannot have it."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # a broken installation can raise anything
        raise RuntimeError(
            f"{system} needs {what}, which cannot be imported ({error}). Install it with: "
            f"{install} {TWELVE}."
        ) from error


def check_devices(cp: ModuleType, devices: Sequence[int], system: str) -> None:
    """Raise RuntimeError unless all ``devices`` are there; ``cp``: CuPy."""
    try:
        count = cp.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own type, known only once it is imported
        raise RuntimeError(
            f"{system} needs an NVIDIA GPU, and none can be used here ({error}). Check nvidia-smi "
            "and the driver, or use sut=onnxruntime."
        ) from error
    if missing := [device for device in devices if device >= count]:
        raise RuntimeError(
            f"sut.devices={list(devices)}: there is no device {missing[0]}; this machine has "
            f"{', '.join(map(str, range(count)))}."
        )
