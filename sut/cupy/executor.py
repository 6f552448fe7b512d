"""A network on one stream of one device: its buffers, and one CUDA graph for each batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.arena import arena_of
from sut.cupy.book import PlanBook
from sut.cupy.compilers import Compilers
from sut.cupy.convolution import Plan
from sut.cupy.detection import DetectionKernels
from sut.cupy.detector import Detections
from sut.cupy.graph import Network
from sut.cupy.images import Staging
from sut.cupy.kernels import Kernels
from sut.cupy.launch import card_of
from sut.cupy.layers import Convolution
from sut.cupy.numbers import DTYPES
from sut.cupy.plans import Tuner
from sut.cupy.rivals import Rivals
from sut.cupy.steps import Step, number_of, problem_of, steps_of, stored_channels
from sut.device import address, pinned

SEATS = 2
"""Batches that can be under way on a stream: the one that runs and the next."""


class Resident:
    """What all streams of a device share: the network's weights, compiled kernels and plans.

    ``say`` is told what takes minutes.
    """

    def __init__(
        self, cp: Any, cudnn: Any, network: Network, book: PlanBook, say: Callable[[str], None]
    ) -> None:
        self.cp, self.cudnn, self.network, self.book, self._say = cp, cudnn, network, book, say
        self.steps = steps_of(network)
        card = card_of(cp)
        self.kernels = Kernels(cp, card, network, self.steps)
        self._rivals = Rivals(cp, card)
        last = network.detections
        self.detect = None if last is None else DetectionKernels(cp, network, last)
        self.arrays = [
            {name: cp.asarray(array.view(np.uint8)) for name, array in step.arrays.items()}
            for step in self.steps
        ]
        self._plans: dict[tuple[str, int], Plan] = {}

    def plans(self, sizes: Sequence[int], handle: Any, stream: Any) -> dict[tuple[str, int], Plan]:
        """A plan for each convolution's name and each batch size; tuned where there is none yet."""
        tuner = Tuner(self.cp, self.cudnn, handle, stream, self.book, self._rivals)
        tuned = tuned_sizes(sizes)
        with closing(Compilers(self.cp)) as compilers:
            for some in (tuned, sorted(set(sizes) - set(tuned))):  # these are chosen after those
                near = {size: min(x for x in tuned if x >= size) for size in some}
                self._choose(tuner, compilers, near)
        return self._plans

    def _choose(self, tuner: Tuner, compilers: Compilers, sizes: Mapping[int, int]) -> None:
        """Plans for batches of ``sizes``; each as good as those of the size that is its value."""
        wanted = {}
        for size, near in sizes.items():
            for step in self.steps:
                place = step.layer.name, size
                if step.kind in ("convolution", "dense") and place not in self._plans:
                    like = problem_of(step, self.network, near) if near != size else None
                    wanted[place] = problem_of(step, self.network, size), like
        lacks = tuner.lacks(wanted.values())
        if lacks:
            self._say(
                f"compiling plans for {len(lacks)} convolutions: up to minutes, once for this "
                "network and kind of GPU"
            )
        tuner.compile(lacks, compilers)
        found = {pair: tuner.choose(*pair) for pair in dict.fromkeys(wanted.values())}
        self._plans |= {place: found[pair] for place, pair in wanted.items()}


class Executor:
    """Runs batches of up to ``sizes[-1]`` images on a stream of its own, one after the other.

    ``sizes``: the batch sizes that have a graph, ascending; another runs in the next larger one.
    ``rows``: int32[SEATS, sizes[-1]] in pinned memory, which images to run, by their place in the
    array given to ``capture``, on the device, or in pinned memory, from where each batch is copied
    first. A seat holds one batch from its launch until its answers are read: with two, one is
    launched behind the other and the device does not pause between them.
    All methods: from one thread at a time, with the device in use.
    """

    def __init__(self, resident: Resident, sizes: Sequence[int]) -> None:
        cp = resident.cp
        self._resident, self._sizes = resident, tuple(sizes)
        self.stream = cp.cuda.Stream(non_blocking=True)
        self._handle = resident.cudnn.create_handle()
        resident.cudnn.set_stream(handle=self._handle, stream=self.stream.ptr)
        most = self._sizes[-1]
        arena = arena_of(resident.network)
        slots = [cp.empty(size * most, cp.uint8) for size in arena.sizes]
        self._tensors = {name: slots[slot] for name, slot in arena.slot_of.items()}
        self.rows = pinned(cp, (SEATS, most), np.int32)
        last = resident.network.detections
        self._answers = (
            pinned(cp, (SEATS, most), np.int64)
            if last is None
            else pinned(cp, (SEATS, most, last.most, 7), np.float32)
        )
        self._staging: Staging | None = None
        self._graphs: dict[tuple[int, int], Any] = {}
        self._takes_s: dict[int, float] = {}
        self._ended = [cp.cuda.Event(disable_timing=True) for _ in range(SEATS)]
        self._began_s, self._size = [0.0] * SEATS, [0] * SEATS
        with self.stream:
            self._plans = resident.plans(self._sizes, self._handle, self.stream)
            space = max((plan.workspace for plan in self._plans.values()), default=0)
            self._workspace = cp.empty(max(1, space), cp.uint8)

    def capture(self, samples: Any) -> None:
        """Record the graphs over the images in ``samples``, and time them."""
        self.rows[:] = 0  # those of the last batch may lie beyond a smaller set of images
        with self.stream:
            if isinstance(samples, np.ndarray):
                self._stage(samples)
            for size in self._sizes:
                self.enqueue(size, samples)  # whatever is set up on first use
                self.stream.synchronize()
                for seat in range(SEATS):
                    self.stream.begin_capture()
                    try:
                        self.enqueue(size, samples, seat)
                    finally:
                        graph = self.stream.end_capture()
                    self._graphs[size, seat] = graph
                self._takes_s[size] = min(self._timed_s(size) for _ in range(3))

    def _stage(self, samples: NDArray[Any]) -> None:
        """From now on batches are brought from ``samples``, in pinned memory."""
        most = self._sizes[-1]
        if self._staging is None:
            self._staging = Staging(self._resident.cp, most, samples[0].nbytes)
        self._staging.source = samples.ctypes.data
        self._bring(most)

    def _bring(self, count: int, seat: int = 0) -> None:
        if self._staging is not None:
            self._staging.bring(self.rows[seat, :count], self.stream)

    def launch(self, count: int, seat: int = 0) -> None:
        """Start on the first ``count`` of ``rows[seat]``, in the next size that has a graph, once
        what was launched before has ended.
        """
        size = next(size for size in self._sizes if size >= count)
        self._bring(count, seat)
        self._graphs[size, seat].launch(self.stream)
        self._ended[seat].record(self.stream)
        self._began_s[seat], self._size[seat] = time.monotonic(), size

    def left_s(self, seat: int = 0) -> float:
        """Seconds until the batch in ``seat``, which must be running, should have ended."""
        return self._began_s[seat] + self._takes_s[self._size[seat]] - time.monotonic()

    def answers(self, count: int, seat: int = 0) -> NDArray[Any]:
        """Wait for what was launched; its first ``count`` answers: int64[count], or a detector's
        rows, float32 [count, most, 7], without the number of the image.
        """
        self._ended[seat].synchronize()
        self._began_s[1 - seat] = time.monotonic()  # of what was launched behind it, if anything
        return self._answers[seat, :count].copy()

    def enqueue(self, batch: int, samples: Any, seat: int = 0) -> None:
        """All of the network's steps for a batch, and the answers."""
        for step, arrays in zip(self._resident.steps, self._resident.arrays, strict=True):
            self.step(step, arrays, batch, samples, seat)
        kernels, network = self._resident.kernels, self._resident.network
        if network.detections is not None:
            return
        count = network.shapes[network.response][0]
        pitch = stored_channels(network, network.response)
        logits = self._tensors[network.response].data.ptr
        kernels.arg_max(logits, self._answers[seat].ctypes.data, batch, count, pitch)

    def _timed_s(self, size: int) -> float:
        began = time.monotonic()
        self.launch(size)
        self.answers(size)
        return time.monotonic() - began

    def tensor(self, name: str, batch: int) -> NDArray[np.float32]:
        """What a layer made, in its stored numbers: float32 [batch, channels, height, width].

        Only right after the layer has run: later ones write over it.
        """
        network = self._resident.network
        layer = next(x for x in network.layers if x.name == name)
        _, height, width = network.shapes[name]
        channels = stored_channels(network, name)
        whole = {"Dense": "fp32", "Average": "fp16"}.get(type(layer).__name__)
        dtype = DTYPES[whole or number_of(network, name)]
        count = batch * channels * height * width
        flat = self._tensors[name][: count * dtype.itemsize].get(stream=self.stream).view(dtype)
        nhwc = flat.reshape(batch, height, width, channels).astype(np.float32)
        return np.ascontiguousarray(nhwc.transpose(0, 3, 1, 2))[:, : network.shapes[name][0]]

    def each_layer(self, batch: int, samples: Any) -> Any:
        """Run layer by layer; yields each one with what it made, all but detections."""
        with self.stream:
            self._bring(batch)
            for step, arrays in zip(self._resident.steps, self._resident.arrays, strict=True):
                self.step(step, arrays, batch, samples)
                self.stream.synchronize()
                if isinstance(step.layer, Detections):
                    return
                yield step.layer, self.tensor(step.layer.name, batch)

    def step(
        self, step: Step, arrays: dict[str, Any], batch: int, samples: Any, seat: int = 0
    ) -> None:
        """One step of a batch."""
        layer = step.layer
        pointers = {name: array.data.ptr for name, array in arrays.items()}
        pointers["y"] = self._tensors[layer.name].data.ptr
        if isinstance(layer, Detections):
            self._detect(layer, pointers, batch, seat)
            return
        if step.kind == "stem":
            pointers |= self._images(samples, seat)
        else:
            pointers["x"] = self._tensors[layer.source].data.ptr
        if step.kind in ("convolution", "dense"):
            if isinstance(layer, Convolution) and layer.residual:
                pointers["residual"] = self._tensors[layer.residual].data.ptr
            plan = self._plans[layer.name, batch]
            plan.run(pointers, self._workspace.data.ptr, self._handle)
        else:
            self._resident.kernels(step, pointers, batch)

    def _images(self, samples: Any, seat: int) -> dict[str, int]:
        """Images on the device, and a batch's rows among them, for the first convolution."""
        if self._staging is None:
            return {"samples": address(samples), "rows": address(self.rows[seat])}
        return {
            "samples": self._staging.images.data.ptr,
            "rows": self._staging.order.data.ptr,
        }

    def _detect(self, layer: Detections, pointers: dict[str, int], batch: int, seat: int) -> None:
        place = pointers["y"]
        for name, size in layer.workspace.items():
            pointers[name] = place
            place += size * batch
        pointers |= {name: self._tensors[name].data.ptr for name in layer.sources}
        assert self._resident.detect is not None
        self._resident.detect({**pointers, "rows": self._answers[seat].ctypes.data}, batch)


TUNED = (1, 8, 64)


def tuned_sizes(sizes: Sequence[int]) -> list[int]:
    """The batch sizes whose plans are timed one by one; another takes the next larger one's.

    A plan takes cuDNN about 0.4 s to compile, and half a dozen are timed for each convolution.
    """
    return [size for size in sizes if size in TUNED or size == max(sizes)]
