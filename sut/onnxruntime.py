"""ONNX Runtime: on this machine's processor, and what its systems have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sut.network import Infer, NetworkSut

if TYPE_CHECKING:
    import onnxruntime

LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class OnnxRuntimeSut(NetworkSut):
    """Run an ONNX file with ONNX Runtime.

    ``output``: the name of the network's output that is the response. For ``workers``,
    ``threads``, ``max_batch`` and ``max_wait_us`` see ``NetworkSut``.
    Raises RuntimeError with the runtime's reason if the file cannot be loaded.
    """

    def __init__(
        self,
        model: Path,
        output: str,
        *,
        name: str = "onnxruntime",
        workers: int = 1,
        threads: int = 1,
        max_batch: int = 1,
        max_wait_us: float = 0.0,
        graph_optimization: str = "all",
    ) -> None:
        # One thread computes where it is called, so such workers can share a session.
        count = workers if threads > 1 else 1
        sessions = [
            session(model, threads, graph_optimization, ["CPUExecutionProvider"])
            for _ in range(count)
        ]
        self.sessions = [sessions[worker % count] for worker in range(workers)]
        super().__init__(
            [_infer(session, output) for session in self.sessions],
            fixed_batch(sessions[0]),
            name=name,
            threads=threads,
            max_batch=max_batch,
            max_wait_us=max_wait_us,
        )


def _infer(session: onnxruntime.InferenceSession, output: str) -> Infer:
    names = [spec.name for spec in session.get_inputs()]

    def infer(inputs: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
        return session.run([output], dict(zip(names, inputs, strict=True)))[0]

    return infer


def fixed_batch(session: onnxruntime.InferenceSession) -> int | None:
    """The one batch size that a session takes, None if it takes any."""
    first = session.get_inputs()[0].shape[0]
    return first if isinstance(first, int) else None


def session(
    model: Path | bytes, threads: int, level: str, providers: Sequence[Any]
) -> onnxruntime.InferenceSession:
    """A session of the file ``model``, or of its content; ``level``: a key of ``LEVELS``.

    ``providers``: as ONNX Runtime takes them. Raises RuntimeError with the runtime's reason.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
    options.log_severity_level = 3
    given = model if isinstance(model, bytes) else str(model)
    try:
        return ort.InferenceSession(given, options, providers=providers)
    except Exception as error:  # the runtime raises types of its own, one for each status
        named = "the network in fp16" if isinstance(model, bytes) else model
        raise RuntimeError(f"ONNX Runtime cannot load {named}: {error}") from error
