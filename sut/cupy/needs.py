"""What ``sut=cupy`` needs of the machine."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from sut.needs import check_devices, module

SYSTEM = "sut=cupy"
INSTALL = "pip install 'cupy-cuda13x[ctk]' nvidia-cudnn-cu13 'nvidia-cudnn-frontend==1.18.*'"


def modules(devices: Sequence[int]) -> tuple[ModuleType, ModuleType]:
    """CuPy and the cuDNN frontend, once all ``devices`` are there.

    Raises RuntimeError with what is missing and how to get it.
    """
    cp = module("cupy", "CuPy", SYSTEM, INSTALL)
    cudnn = module("cudnn", "the cuDNN frontend", SYSTEM, INSTALL)
    check_devices(cp, devices, SYSTEM)
    return cp, cudnn
