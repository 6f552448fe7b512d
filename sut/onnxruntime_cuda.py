"""ONNX Runtime on NVIDIA GPUs, its inputs bound to CuPy's arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sut.device import DeviceSut, Worker, address
from sut.half import half as in_half
from sut.memory import check
from sut.needs import CUPY, check_devices, module
from sut.network import Infer
from sut.onnxruntime import fixed_batch, session

if TYPE_CHECKING:
    import onnxruntime

SYSTEM = "sut=onnxruntime sut.provider=cuda"
PROVIDER = "CUDAExecutionProvider"
FATAL = 4
"""Of what the provider logs: it calls each way of cuDNN's that it tries in vain an error."""
INSTALL = "pip uninstall onnxruntime && pip install 'onnxruntime-gpu[cuda,cudnn]'"


class OnnxRuntimeCudaSut(DeviceSut):
    """Run an ONNX file with ONNX Runtime's CUDA provider.

    ``output``: the name of the network's output that is the response. ``devices``: GPUs by number;
    each has ``workers`` with a session and a stream of their own. ``half``: layers in fp16; fp32
    means fp32, without TF32. For the others see ``DeviceSut``.
    Raises RuntimeError with what is missing here, or why the file cannot be loaded.
    """

    def __init__(
        self,
        model: Path,
        output: str,
        *,
        name: str = "onnxruntime",
        devices: Sequence[int] = (0,),
        workers: int = 1,
        max_batch: int = 256,
        max_wait_us: float = 0.0,
        start_from_device: bool = True,
        half: bool = False,
        graph_optimization: str = "all",
    ) -> None:
        cp = modules(devices)[0]
        content = in_half(model) if half else model
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        self.sessions, made = [], []
        for device in devices:
            with cp.cuda.Device(device) as used:
                check(device, used.mem_info[0], {f"weights of {workers} workers": workers * size})
                for _ in range(workers):
                    stream = cp.cuda.Stream(non_blocking=True)
                    own = session(content, 1, graph_optimization, _providers(device, stream.ptr))
                    _check_provider(own)
                    self.sessions.append(own)
                    made.append(Worker(bound(own, output, "cuda", device), device, stream))
        super().__init__(
            cp,
            made,
            fixed_batch(self.sessions[0]),
            name=name,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
            start_from_device=start_from_device,
        )


def modules(devices: Sequence[int]) -> tuple[ModuleType, ModuleType]:
    """CuPy and an ONNX Runtime that has the CUDA provider, once all ``devices`` are there.

    Raises RuntimeError with what is missing and how to get it.
    """
    import onnxruntime as ort

    if PROVIDER not in ort.get_available_providers():
        raise RuntimeError(
            f"{SYSTEM} needs ONNX Runtime with its {PROVIDER}; the one installed here "
            f"({ort.__version__}) has {', '.join(ort.get_available_providers())}. Install it in "
            f"place of that with: {INSTALL}"
        )
    cp = module("cupy", "CuPy", SYSTEM, CUPY)
    check_devices(cp, devices, SYSTEM)
    ort.set_default_logger_severity(FATAL)
    if preload := getattr(ort, "preload_dlls", None):  # CUDA and cuDNN from their own packages
        preload()
    return cp, ort


def bound(own: onnxruntime.InferenceSession, output: str, kind: str, device: int) -> Infer:
    """A call of ``own`` that reads its inputs where they lie; the answers come to the host.

    ``kind``, ``device``: where the arrays are, as ONNX Runtime names it: ("cuda", 0), ("cpu", 0).
    """
    names = [spec.name for spec in own.get_inputs()]
    binding = own.io_binding()

    def infer(inputs: Sequence[Any]) -> NDArray[np.generic]:
        for name, array in zip(names, inputs, strict=True):
            binding.bind_input(
                name, kind, device, np.dtype(array.dtype), array.shape, address(array)
            )
        binding.bind_output(output, "cpu")  # new memory for each run: shapes may differ
        own.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()[0]

    return infer


def _providers(device: int, stream: int) -> Sequence[Any]:
    options = {
        "device_id": str(device),
        "user_compute_stream": str(stream),
        "use_tf32": "0",
    }
    return [(PROVIDER, options), "CPUExecutionProvider"]


def _check_provider(own: onnxruntime.InferenceSession) -> None:
    """ONNX Runtime falls back to the processor without a word where a CUDA library is missing."""
    if PROVIDER not in own.get_providers():
        raise RuntimeError(
            f"{SYSTEM}: ONNX Runtime could not start its {PROVIDER}: a library of CUDA or cuDNN is "
            f"missing, or of another version than this ONNX Runtime's. Install them with: {INSTALL}"
        )
