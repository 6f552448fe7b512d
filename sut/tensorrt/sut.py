"""TensorRT as a system under test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from sut.device import DeviceSut, Worker
from sut.half import half
from sut.memory import check
from sut.needs import CUPY, check_devices, module
from sut.tensorrt.context import Runner
from sut.tensorrt.engine import Recipe, deserialised, engine, profiles
from sut.tensorrt.signed import signed

SYSTEM = "sut=tensorrt"
INSTALL = "pip install tensorrt"
UNRECORDED = (b"NonMaxSuppression", b"NonZero", b"Loop")
"""Nodes whose results' sizes depend on the data: no CUDA graph can hold them."""


class TensorRtSut(DeviceSut):
    """Run an ONNX file with TensorRT: in fp16, or in int8 (explicit QDQ) if it is quantised.

    ``output``: the name of the network's output that is the response. ``devices``: GPUs by number;
    each has ``streams`` workers, with one CUDA graph for each batch size. ``engines``: the folder
    that engines and timings are kept in. For the others see ``DeviceSut``.
    Raises RuntimeError with what is missing here, or why no engine is built, or with the sizes if
    it does not fit on a device.
    """

    def __init__(
        self,
        model: Path,
        output: str,
        *,
        engines: Path,
        name: str = "tensorrt",
        devices: Sequence[int] = (0,),
        streams: int = 1,
        max_batch: int = 256,
        max_wait_us: float = 0.0,
        start_from_device: bool = True,
        quantised: bool = False,
    ) -> None:
        cp, trt = modules(devices)
        content = signed(model) if quantised else half(model)
        shapes = profiles(max_batch)
        records = not any(kind in content for kind in UNRECORDED)
        workers = []
        for device in devices:
            with cp.cuda.Device(device) as used:
                card = cp.cuda.runtime.getDeviceProperties(device)["name"].decode()
                made = engine(trt, content, Recipe(shapes, trt.__version__, card), engines)
                check(device, used.mem_info[0], {"weights": len(made)})
                loaded = deserialised(trt, made)
                space = streams * len(shapes) * loaded.device_memory_size_v2
                check(device, used.mem_info[0], {f"contexts of {streams} streams": space})
                for _ in range(streams):
                    stream = cp.cuda.Stream(non_blocking=True)
                    run = Runner(cp, trt, device, stream, loaded, shapes, output, records)
                    workers.append(Worker(run, device, stream))
        super().__init__(
            cp,
            workers,
            None,
            name=name,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
            start_from_device=start_from_device,
        )


def modules(devices: Sequence[int]) -> tuple[ModuleType, ModuleType]:
    """CuPy and TensorRT, once all ``devices`` are there.

    Raises RuntimeError with what is missing and how to get it.
    """
    trt = module("tensorrt", "TensorRT", SYSTEM, INSTALL)
    cp = module("cupy", "CuPy", SYSTEM, CUPY)
    check_devices(cp, devices, SYSTEM)
    return cp, trt
