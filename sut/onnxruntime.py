"""ONNX Runtime on this machine's processor."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loadgen import LoadedSet, Queries

if TYPE_CHECKING:
    import onnxruntime

Indices = NDArray[np.int32] | NDArray[np.int64]
WARM_UP_S = 0.2
LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


class OnnxRuntimeSut:
    """Run an ONNX file with ONNX Runtime.

    ``output``: the name of the network's output that is the response.
    ``workers``: threads that take batches, each with ``threads`` of its own to compute.
    ``max_batch``, ``max_wait_us``: dynamic batching; a batch closes when it is full, or when
    its first query has waited that long.
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
        self.name = name
        self.workers = workers
        self.threads = threads
        self.max_wait_us = max_wait_us
        self._output = output
        # One thread computes where it is called, so such workers can share a session.
        count = workers if threads > 1 else 1
        sessions = [_session(model, threads, graph_optimization) for _ in range(count)]
        self._sessions = [sessions[worker % count] for worker in range(workers)]
        self._inputs = [spec.name for spec in sessions[0].get_inputs()]
        first = sessions[0].get_inputs()[0].shape[0]
        # A network with a batch dimension of its own runs in batches of just that size.
        self.fixed_batch = first if isinstance(first, int) else None
        self.max_batch = self.fixed_batch or max_batch
        self._samples: LoadedSet | None = None

    def load(self, samples: LoadedSet) -> None:
        """Keep the samples, and run each session for a moment, so that it starts warm.

        Its first runs allocate; later ones bring threads, caches and clock back up.
        """
        self._samples = samples
        for session in set(self._sessions):
            end = time.perf_counter() + WARM_UP_S
            for size in (self.max_batch, 1, 1):
                self._infer(session, samples, np.resize(samples.indices, size))
            while time.perf_counter() < end:
                self._infer(session, samples, samples.indices[:1])

    def unload(self) -> None:
        """Let go of the samples."""
        self._samples = None

    def serve(self, queries: Queries, worker: int) -> None:
        """Take a batch, gather its rows, run them and answer, until the run is over."""
        samples, session = self._samples, self._sessions[worker]
        assert samples is not None, "load comes before serve"
        while (batch := queries.take(self.max_batch, self.max_wait_us)) is not None:
            batch.complete(self._infer(session, samples, batch.indices))

    def service_time_s(self, samples: LoadedSet, size: int, repeats: int = 3) -> float:
        """Median time of one run of ``size`` samples on an otherwise idle system, in seconds."""
        indices = np.resize(samples.indices, size)
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            self._infer(self._sessions[0], samples, indices)
            times.append(time.perf_counter() - began)
        return float(np.median(times[1:]))

    def _infer(
        self,
        session: onnxruntime.InferenceSession,
        samples: LoadedSet,
        indices: Indices,
    ) -> NDArray[np.generic]:
        """The responses to ``indices``: [n, ...], in their order."""
        count = len(indices)
        rows = samples.rows(indices)
        if self.fixed_batch:
            rows = np.resize(rows, -(-count // self.fixed_batch) * self.fixed_batch)
        size = self.fixed_batch or count
        parts = [
            session.run([self._output], self._feed(samples, rows[at : at + size]))[0]
            for at in range(0, len(rows), size)
        ]
        answers = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return answers[:count]

    def _feed(self, samples: LoadedSet, rows: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
        if len(rows) == 1:  # a view: nothing is copied
            views = [array[rows[0] : rows[0] + 1] for array in samples.inputs]
        else:
            views = [array[rows] for array in samples.inputs]
        return dict(zip(self._inputs, views, strict=True))


def _session(model: Path, threads: int, level: str) -> onnxruntime.InferenceSession:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, LEVELS[level])
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises types of its own, one for each status
        raise RuntimeError(f"ONNX Runtime cannot load {model}: {error}") from error
