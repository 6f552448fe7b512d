"""OpenVINO on this machine's processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sut.network import Infer, NetworkSut

if TYPE_CHECKING:
    import openvino


class OpenVinoSut(NetworkSut):
    """Run an ONNX file with OpenVINO, in just the precision that the file says.

    ``output``: the name of the network's output that is the response. For ``workers``,
    ``threads``, ``max_batch`` and ``max_wait_us`` see ``NetworkSut``. Each worker has an
    inference request and a stream of its own.
    Raises ModuleNotFoundError if OpenVINO is not installed, RuntimeError with its reason if the
    file cannot be loaded or has no such output.
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
    ) -> None:
        compiled = _compiled(model, workers, threads)
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


def _infer(request: openvino.InferRequest, output: str) -> Infer:
    from openvino import Tensor

    def infer(inputs: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
        for number, array in enumerate(inputs):
            request.set_input_tensor(number, Tensor(array, shared_memory=True))
        request.infer(share_outputs=True)
        return request.get_tensor(output).data.copy()  # the next run writes over it

    return infer


def _compiled(model: Path, workers: int, threads: int) -> openvino.CompiledModel:
    try:
        import openvino as ov
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "OpenVINO is not installed. Install it with: pip install 'tailbound[openvino]'"
        ) from error
    properties = {
        # Where a processor has bfloat16, OpenVINO would compute fp32 networks in it.
        "INFERENCE_PRECISION_HINT": "f32",
        "NUM_STREAMS": workers,
        "INFERENCE_NUM_THREADS": workers * threads,
    }
    try:
        return ov.Core().compile_model(str(model), "CPU", properties)
    except Exception as error:  # RuntimeError by its documentation, and others in fact
        reason = str(error).strip().splitlines()[-1]
        raise RuntimeError(f"OpenVINO cannot load {model}: {reason}") from error
