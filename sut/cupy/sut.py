"""CuPy and cuDNN as a system under test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadgen import Batch, LoadedSet, Queries
from sut.cupy.arena import arena_of
from sut.cupy.book import PlanBook
from sut.cupy.executor import Executor, Resident
from sut.cupy.files import read
from sut.cupy.graph import Network
from sut.cupy.images import image_bytes, in_pinned_memory, upload
from sut.cupy.needs import modules
from sut.cupy.sentences import placed, row_bytes
from sut.cupy.translation import Translation
from sut.cupy.translation_executor import TranslationExecutor, TranslationResident, buffer_bytes
from sut.device import FILLED, batch_sizes
from sut.memory import check

Indices = NDArray[np.int32] | NDArray[np.int64]

Runs = Executor | TranslationExecutor

AHEAD_S = 0.4e-3
"""Before a batch should end, the next one is launched: what the host needs for that, and to spare
for a batch that ends early.
"""


class CupySut:
    """Run the ONNX file of an image classifier or an SSD on NVIDIA GPUs, in ``precision``: fp16,
    bf16, or int8 if it is quantised, with fp16 for the rest; GNMT's in fp16.

    ``output``: the network's output that is the response, the arg max of its last layer, the rows
    of a detector, or the translations.
    ``devices``: GPUs by number; each has ``streams`` workers: while one's batch runs, the others
    fetch theirs and answer. Two reach the highest throughput, one the shortest latency.
    ``max_batch``, ``max_wait_us``: dynamic batching, as for ONNX Runtime. Batches run in the next
    of ``batch_sizes``. ``start_from_device``: samples lie on the device before the run; otherwise
    in pinned memory, from where each batch is copied first. ``plans``: the file that tuned plans
    are kept in. ``say`` is told what takes minutes.
    Raises RuntimeError for what is missing on this machine or not supported in the network, and
    from ``load`` if something does not fit in a device's memory.
    """

    def __init__(
        self,
        model: Path,
        output: str,
        *,
        name: str = "cupy",
        devices: Sequence[int] = (0,),
        streams: int = 2,
        max_batch: int = 256,
        max_wait_us: float = 0.0,
        start_from_device: bool = True,
        precision: str = "fp16",
        plans: Path | None = None,
        say: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._cp, self._cudnn = modules(devices)
        self.name = name
        self.devices = tuple(devices)
        self.workers = len(self.devices) * streams
        self.max_batch = max_batch
        self.max_wait_us = max_wait_us
        self.start_from_device = start_from_device
        self._streams = streams
        self._network = read(model, output, "bf16" if precision == "bf16" else "fp16")
        self._book, self._say = PlanBook(plans), say
        self._sizes = batch_sizes(max_batch)
        self._executors: list[Runs] = []
        self._samples: LoadedSet | None = None
        self._sources: dict[int, Any] = {}

    def load(self, samples: LoadedSet) -> None:
        """Compile and tune on the first call, bring the samples in place, and record the graphs."""
        for device in self.devices:
            with self._cp.cuda.Device(device) as used:
                if not self._executors or samples is not self._samples:
                    check(device, used.mem_info[0], self._parts(samples))
        if not self._executors:
            self._build()
        self._samples = samples
        self._place(samples)
        for worker, executor in enumerate(self._executors):
            with self._cp.cuda.Device(self._device(worker)):
                executor.capture(self._sources[self._device(worker)])
        for worker in range(self.workers):  # warm: clocks, caches, the first launch of each graph
            for size in (self.max_batch, 1, 1):
                self._infer(worker, samples, np.resize(samples.indices, size))

    def unload(self) -> None:
        """Let go of the samples; network, plans and buffers stay for the next run."""
        self._samples = None
        self._sources.clear()
        for device in self.devices:
            with self._cp.cuda.Device(device):
                self._cp.get_default_memory_pool().free_all_blocks()

    def serve(self, queries: Queries, worker: int) -> None:
        """Take a batch, run it on the worker's stream and answer, until the run is over.

        A worker that has its device to itself launches what is due behind a large batch just
        before that ends, so that the device never waits for the host; and otherwise before it
        gives the answers. Where a device has several workers, another could be quicker.
        """
        samples = self._samples
        assert samples is not None, "load comes before serve"
        self._cp.cuda.Device(self._device(worker)).use()
        alone = self.workers == len(self.devices)
        seat, running = 0, None
        while running or (running := self._next(queries, worker, samples, seat)):
            following = None
            large = alone and len(running.indices) >= FILLED
            left_s = self._executors[worker].left_s(seat) if large else None
            if left_s is not None:
                time.sleep(max(0.0, left_s - AHEAD_S))
                if queries.due():
                    following = self._next(queries, worker, samples, 1 - seat)
            answers = self._answers(worker, samples, running.indices, seat)
            if alone and following is None and queries.due():
                following = self._next(queries, worker, samples, 1 - seat)
            running.complete(answers)
            running, seat = following, 1 - seat

    def _next(self, queries: Queries, worker: int, samples: LoadedSet, seat: int) -> Batch | None:
        """The next batch, launched; None when the run is over.

        What is due fills a graph and the rest is left, rather than run a graph that is part empty.
        """
        most = self.max_batch
        if not self.max_wait_us:  # more may come due before it is taken: that is left, too
            due = max(queries.due(most), FILLED)
            most = min(most, max((size for size in self._sizes if size <= due), default=most))
        batch = queries.take(most, self.max_wait_us)
        if batch is not None:
            self._start(worker, samples, batch.indices, seat)
        return batch

    def service_time_s(self, samples: LoadedSet, size: int, repeats: int = 5) -> float:
        """Median time of one run of ``size`` samples on an otherwise idle system, in seconds."""
        if samples is not self._samples:
            self.load(samples)
        indices = np.resize(samples.indices, size)
        times = []
        for _ in range(repeats + 1):
            began = time.perf_counter()
            self._infer(0, samples, indices)
            times.append(time.perf_counter() - began)
        return float(np.median(times[1:]))

    def _infer(self, worker: int, samples: LoadedSet, indices: Indices) -> NDArray[Any]:
        """The responses to ``indices``: as the network has them, see ``read``."""
        self._start(worker, samples, indices)
        return self._answers(worker, samples, indices)

    def _answers(
        self, worker: int, samples: LoadedSet, indices: Indices, seat: int = 0
    ) -> NDArray[Any]:
        """The responses to what was started, with the images' own numbers in detections."""
        answers = self._executors[worker].answers(len(indices), seat)
        if answers.ndim == 3:
            answers[:, :, 0] = samples.inputs[1][samples.rows(indices)][:, None]
        return answers

    def _start(self, worker: int, samples: LoadedSet, indices: Indices, seat: int = 0) -> None:
        assert samples is self._samples, "the graphs read samples where load has put them"
        executor, count = self._executors[worker], len(indices)
        executor.rows[seat, :count] = samples.rows(indices)
        executor.launch(count, seat)

    def _device(self, worker: int) -> int:
        return self.devices[worker // self._streams]

    def _parts(self, samples: LoadedSet) -> dict[str, int]:
        """Bytes that are yet to be taken on each device, by what they are for."""
        own, most = self._network, self.max_batch
        if isinstance(own, Translation):
            longest = int(np.max(samples.inputs[1]))
            buffers, sample = buffer_bytes(own, most, longest), row_bytes(longest)
        else:
            buffers, sample = arena_of(own).bytes(most), image_bytes(own)
        parts = {}
        if not self._executors:
            parts["weights"] = 2 * own.parameter_count
            name = f"buffers of {self._streams} streams for batches of {most}"
            parts[name] = self._streams * buffers
            if isinstance(own, Network) and not self.start_from_device:
                parts["batches of samples"] = self._streams * most * sample
        if self.start_from_device:
            parts[f"{len(samples.indices)} samples"] = len(samples.indices) * sample
        return parts

    def _build(self) -> None:
        cp, own = self._cp, self._network
        made: list[Runs] = []
        for device in self.devices:
            with cp.cuda.Device(device):
                if isinstance(own, Translation):
                    shared = TranslationResident(cp, own)
                    made += [TranslationExecutor(shared, self._sizes) for _ in range(self._streams)]
                    continue
                resident = Resident(cp, self._cudnn, own, self._book, self._say)
                for _ in range(self._streams):
                    made.append(Executor(resident, self._sizes))
                    self._book.save()
        self._executors = made

    def _place(self, samples: LoadedSet) -> None:
        cp, own, images = self._cp, self._network, samples.inputs[0]
        self._sources.clear()
        if not self.start_from_device and isinstance(own, Network):
            self._sources = dict.fromkeys(self.devices, in_pinned_memory(cp, own, images))
            return
        for device in self.devices:
            with cp.cuda.Device(device):
                self._sources[device] = (
                    placed(cp, own, samples.inputs, self.start_from_device)
                    if isinstance(own, Translation)
                    else upload(cp, own, images)
                )
                cp.cuda.Device().synchronize()
