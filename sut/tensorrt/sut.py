"""TensorRT as a system under test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from sut.device import DeviceGather, Residents, batch_sizes
from sut.half import half
from sut.memory import check
from sut.needs import CUPY, check_devices, module
from sut.network import NetworkSut
from sut.tensorrt.context import Runner
from sut.tensorrt.engine import Recipe, engine, logger, profiles
from sut.tensorrt.signed import signed

SYSTEM = "sut=tensorrt"
INSTALL = "pip install tensorrt"
UNRECORDED = (b"NonMaxSuppression", b"NonZero", b"Loop")
"""Nodes whose results' sizes depend on the data: no CUDA graph can hold them."""


class TensorRtSut(NetworkSut):
    """Run an ONNX file with TensorRT: in fp16, or in int8 (explicit QDQ) if it is quantised.

    ``output``: the name of the network's output that is the response. ``devices``: GPUs by number;
    each has ``streams`` workers. Batches are filled up to the next of ``batch_sizes(max_batch)``,
    one CUDA graph each. ``max_wait_us``: how long a batch that is not full may wait.
    ``start_from_device``: samples lie on the device before the run; otherwise each batch
    brings its own from pinned memory. ``engines``: the folder that engines and timings are kept in.
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
        self._cp, trt = modules(devices)
        cp, content = self._cp, signed(model) if quantised else half(model)
        shapes = profiles(max_batch)
        records = not any(kind in content for kind in UNRECORDED)
        self._residents = {device: Residents(cp, device) for device in devices}
        self._runtimes = []
        infers, gathers = [], []
        for device in devices:
            with cp.cuda.Device(device) as used:
                card = cp.cuda.runtime.getDeviceProperties(device)["name"].decode()
                made = engine(trt, content, Recipe(shapes, trt.__version__, card), engines)
                check(device, used.mem_info[0], {"weights": len(made)})
                log = logger(trt)
                runtime = trt.Runtime(log)
                loaded = runtime.deserialize_cuda_engine(made)
                if loaded is None:
                    reason = log.errors[0] if log.errors else "it gives no reason"
                    raise RuntimeError(f"TensorRT cannot load its engine of {model}: {reason}")
                self._runtimes.append((runtime, log))
                space = streams * len(shapes) * loaded.device_memory_size_v2
                check(device, used.mem_info[0], {f"contexts of {streams} streams": space})
                for _ in range(streams):
                    stream = cp.cuda.Stream(non_blocking=True)
                    infers.append(Runner(cp, trt, device, stream, loaded, shapes, output, records))
                    resident = self._residents[device] if start_from_device else None
                    gathers.append(DeviceGather(cp, device, stream, resident))
        super().__init__(
            infers,
            None,
            name=name,
            threads=1,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
            gathers=gathers,
            sizes=batch_sizes(max_batch),
        )

    def unload(self) -> None:
        """Let go of the samples, on the devices too."""
        super().unload()
        for device, resident in self._residents.items():
            with self._cp.cuda.Device(device):
                resident.clear()


def modules(devices: Sequence[int]) -> tuple[ModuleType, ModuleType]:
    """CuPy and TensorRT, once all ``devices`` are there.

    Raises RuntimeError with what is missing and how to get it.
    """
    trt = module("tensorrt", "TensorRT", SYSTEM, INSTALL)
    cp = module("cupy", "CuPy", SYSTEM, CUPY)
    check_devices(cp, devices, SYSTEM)
    return cp, trt
