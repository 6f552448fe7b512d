"""What ``sut=cupy`` needs of the machine, asked for only when a network is to be run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from types import ModuleType

INSTALL = "pip install cupy-cuda13x nvidia-cudnn-cu13 nvidia-cudnn-frontend"


def modules(devices: Sequence[int]) -> tuple[ModuleType, ModuleType]:
    """CuPy and the cuDNN frontend, once all ``devices`` are there.

    Raises RuntimeError with what is missing and how to get it.
    """
    found = []
    for name, what in (("cupy", "CuPy"), ("cudnn", "the cuDNN frontend")):
        try:
            found.append(importlib.import_module(name))
        except Exception as error:  # a broken installation can raise anything
            raise RuntimeError(
                f"sut=cupy needs {what}, which cannot be imported ({error}). Install it with: "
                f"{INSTALL} (for CUDA 12: the packages that end in cuda12x and cu12)."
            ) from error
    cp, cudnn = found
    try:
        count = cp.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own type, known only once it is imported
        raise RuntimeError(
            f"sut=cupy needs an NVIDIA GPU, and none can be used here ({error}). Check nvidia-smi "
            "and the driver, or use sut=onnxruntime."
        ) from error
    if missing := [device for device in devices if device >= count]:
        raise RuntimeError(
            f"sut.devices={list(devices)}: there is no device {missing[0]}; this machine has "
            f"{', '.join(map(str, range(count)))}."
        )
    return cp, cudnn
