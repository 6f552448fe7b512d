"""What the systems that run a network through a runtime's own interface have in common."""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen import LoadedSet, Queries

Indices = NDArray[np.int32] | NDArray[np.int64]
Infer = Callable[[Sequence[Any]], NDArray[np.generic]]
"""Runs a network once: its inputs, C-contiguous [n, ...] each, to the responses [n, ...], which
the caller may keep. The inputs are arrays where the network runs: NumPy's, or a device's."""

Gather = Callable[[Sequence[NDArray[np.generic]], NDArray[np.int64]], Sequence[Any]]
"""A network's inputs for the given rows of the samples; they hold until the next call."""

WARM_UP_S = 0.2


class NetworkSut:
    """Take batches, gather their samples, run them and answer.

    ``infers``: one call for each worker, which no other thread makes. ``fixed_batch``: the one
    batch size that the network takes, None if it takes any. ``threads``: that each worker
    computes with. ``max_batch``, ``max_wait_us``: dynamic batching; a batch closes when it is
    full, or when its first query has waited that long. ``gathers``: how each worker gets its
    inputs, by default into memory of the host. ``sizes``: batch sizes, ascending, that others
    are filled up to, where each size costs its preparation; None if none does.
    """

    def __init__(
        self,
        infers: Sequence[Infer],
        fixed_batch: int | None,
        *,
        name: str,
        threads: int,
        max_batch: int,
        max_wait_us: float,
        gathers: Sequence[Gather] | None = None,
        sizes: Sequence[int] | None = None,
    ) -> None:
        self.name = name
        self.workers = len(infers)
        self.threads = threads
        self.fixed_batch = fixed_batch
        self.max_batch = fixed_batch or max_batch
        self.max_wait_us = max_wait_us
        allowed = (fixed_batch,) if fixed_batch else sizes
        ways = gathers or [HostGather() for _ in infers]
        self._lanes = [
            Lane(infer, allowed, gather) for infer, gather in zip(infers, ways, strict=True)
        ]
        self._samples: LoadedSet | None = None

    def load(self, samples: LoadedSet) -> None:
        """Keep the samples, and let all workers run for a moment, so that they start warm.

        The first runs allocate; later ones bring threads, caches and clock back up.
        """
        self._samples = samples

        def warm(lane: Lane) -> None:
            end = time.perf_counter() + WARM_UP_S
            for size in (*lane.sizes_to(self.max_batch), 1, 1):
                lane.answer(samples, np.resize(samples.indices, size))
            while time.perf_counter() < end:
                lane.answer(samples, samples.indices[:1])

        with ThreadPoolExecutor(self.workers) as pool:
            list(pool.map(warm, self._lanes))

    def unload(self) -> None:
        """Let go of the samples."""
        self._samples = None

    def serve(self, queries: Queries, worker: int) -> None:
        """Take a batch and answer it, until the run is over."""
        samples, lane = self._samples, self._lanes[worker]
        assert samples is not None, "load comes before serve"
        while (batch := queries.take(self.max_batch, self.max_wait_us)) is not None:
            batch.complete(lane.answer(samples, batch.indices))

    def service_time_s(self, samples: LoadedSet, size: int, repeats: int = 3) -> float:
        """Median time of one run of ``size`` samples on an otherwise idle system, in seconds."""
        indices = np.resize(samples.indices, size)
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            self._lanes[0].answer(samples, indices)
            times.append(time.perf_counter() - began)
        return float(np.median(times[1:]))


class Lane:
    """One worker's way through the network: ``infer`` on what ``gather`` brings.

    ``sizes``: the batch sizes that the network is run with, ascending; None for any.
    """

    def __init__(
        self, infer: Infer, sizes: Sequence[int] | None = None, gather: Gather | None = None
    ) -> None:
        self._infer = infer
        self._sizes = sizes
        self._gather = gather or HostGather()

    def answer(self, samples: LoadedSet, indices: Indices) -> NDArray[np.generic]:
        """The responses to ``indices``: [n, ...], in their order."""
        rows = samples.rows(indices)
        if self._sizes is None:
            return self._infer(self._gather(samples.inputs, rows))
        count, most = len(rows), self._sizes[-1]
        parts = []
        for at in range(0, count, most):
            part = rows[at : at + most]
            size = next(size for size in self._sizes if size >= len(part))
            parts.append(self._infer(self._gather(samples.inputs, np.resize(part, size))))
        return np.concatenate(parts)[:count]

    def sizes_to(self, most: int) -> Sequence[int]:
        """The batch sizes that a batch of up to ``most`` can come to, the largest first."""
        if self._sizes is None:
            return (most,)
        return tuple(reversed(self._sizes[: bisect.bisect_left(self._sizes, most) + 1]))


class HostGather:
    """Rows of the samples in one buffer of the host's memory, which is kept and used again."""

    def __init__(self) -> None:
        self._buffers: list[NDArray[np.generic]] = []

    def __call__(
        self, inputs: Sequence[NDArray[np.generic]], rows: NDArray[np.int64]
    ) -> list[NDArray[np.generic]]:
        """``inputs`` at ``rows``."""
        count = len(rows)
        if count == 1:  # a view: nothing is copied
            return [array[rows[0] : rows[0] + 1] for array in inputs]
        if not self._buffers or len(self._buffers[0]) < count:
            self._buffers = [self.empty((count, *a.shape[1:]), a.dtype) for a in inputs]
        views = [buffer[:count] for buffer in self._buffers]
        for array, view in zip(inputs, views, strict=True):
            # Any mode but "raise" writes straight into ``out``; all rows are in range.
            np.take(array, rows, axis=0, out=view, mode="clip")
        return views

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[np.generic]:
        """Memory for a buffer."""
        return np.empty(shape, dtype)
