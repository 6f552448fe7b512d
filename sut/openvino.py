"""OpenVINO on this machine's processor."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sut.network import Infer, NetworkSut

if TYPE_CHECKING:
    from types import ModuleType

    import openvino

HINTS = {"bf16": "bf16", "fp16": "f16"}
"""OpenVINO's names of the precisions that it casts a network to."""


class OpenVinoSut(NetworkSut):
    """Run an ONNX file with OpenVINO, in just the precision that was asked for.

    ``precision``: bf16 or fp16 computes a file's fp32 layers in 16 bits, any other name as they
    are. ``output``: the name of the network's output that is the response. For ``workers``,
    ``threads``, ``max_batch`` and ``max_wait_us`` see ``NetworkSut``. Each worker has an
    inference request and a stream of its own.
    Raises ModuleNotFoundError if OpenVINO is not installed, RuntimeError with its reason if the
    file cannot be loaded, has no such output, or would be computed in another precision.
    """

    def __init__(
        self,
        model: Path,
        output: str,
        *,
        name: str = "openvino",
        workers: int = 1,
        threads: int = 1,
        max_batch: int = 1,
        max_wait_us: float = 0.0,
        precision: str = "fp32",
    ) -> None:
        compiled = _compiled(model, workers, threads, precision)
        names = [name for port in compiled.outputs for name in port.names]
        if output not in names:
            known = ", ".join(sorted(names))
            raise RuntimeError(f"{model} has no output {output}: it has {known}.")
        self.requests = [compiled.create_infer_request() for _ in range(workers)]
        first = compiled.inputs[0].partial_shape[0]
        super().__init__(
            [_infer(request, output) for request in self.requests],
            first.get_length() if first.is_static else None,
            name=name,
            threads=threads,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
        )


def computes_in(precision: str) -> bool:
    """Whether this processor has the arithmetic; ModuleNotFoundError as ``OpenVinoSut``."""
    if precision not in HINTS:
        return True
    able = _core(_openvino()).get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return precision.upper() in able


def _infer(request: openvino.InferRequest, output: str) -> Infer:
    from openvino import Tensor

    # OpenVINO makes its tables of types on first use; two threads that do so at once never end.
    Tensor(np.zeros(1, np.float32), shared_memory=True).get_element_type().to_dtype()

    def infer(inputs: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
        for number, array in enumerate(inputs):
            request.set_input_tensor(number, Tensor(array, shared_memory=True))
        request.infer(share_outputs=True)
        return request.get_tensor(output).data.copy()  # the next run writes over it

    return infer


def _openvino() -> ModuleType:
    try:
        import openvino
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "OpenVINO is not installed. Install it with: pip install 'tailbound[openvino]'"
        ) from error
    return openvino


@cache
def _core(package: ModuleType) -> openvino.Core:
    """One for the process, to its end.

    OpenVINO gives the thread that it is first used on a stack for signals, and takes the memory
    back with the core: if another thread drops that, Ctrl-C ends the program by a crash.
    """
    return package.Core()


def _compiled(model: Path, workers: int, threads: int, precision: str) -> openvino.CompiledModel:
    hint = HINTS.get(precision, "f32")
    properties = {
        # Where a processor has bfloat16, OpenVINO would compute fp32 networks in it.
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
    }
    core = _core(_openvino())
    try:
        compiled = core.compile_model(str(model), "CPU", properties)
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:  # RuntimeError by its documentation, and others in fact
        reason = str(error).strip().splitlines()[-1]
        raise RuntimeError(f"OpenVINO cannot load {model}: {reason}") from error
    if used != hint:
        raise RuntimeError(f"OpenVINO computes in {used} on this processor, not in {precision}.")
    return compiled
