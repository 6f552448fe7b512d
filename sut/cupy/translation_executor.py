"""A translation on one stream of one device: graphs of the encoder and of the search's steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sut.cupy.machine import Gpu, Kernels
from sut.cupy.products import WORKSPACE_BYTES, Products
from sut.cupy.sentences import Sentences
from sut.cupy.translation import Translation
from sut.cupy.translator import Translator, buffers, stored
from sut.device import pinned

SEATS = 2
TURNS = 2
"""Steps of a graph: each reads what the one before has written, and writes to the other place."""
CLOSE = 16
"""A step has a graph for every so many sentences that go on, besides the batch sizes."""
LENGTHS = 8
"""The encoder has a graph for every so many tokens of the longest sentence."""


def ceiling(tokens: int) -> int:
    """The length that a batch is padded to."""
    return -(-tokens // LENGTHS) * LENGTHS


def buffer_bytes(network: Translation, most: int, longest: int) -> int:
    """Memory of one stream for batches of ``most`` sentences of up to ``longest`` tokens."""
    arrays = buffers(network, most, ceiling(longest), Gpu.number).values()
    return WORKSPACE_BYTES + sum(
        int(np.prod(shape)) * np.dtype(dtype).itemsize for shape, dtype in arrays
    )


class TranslationResident:
    """What all streams of a device share: weights, kernels and the products' algorithms."""

    def __init__(self, cp: Any, network: Translation) -> None:
        self.cp, self.network = cp, network
        self.kernels = Kernels(cp, network.beams)
        self.products = Products(cp)
        stream = cp.cuda.Stream(non_blocking=True)
        with stream:
            self.weights = stored(self.machine(stream), network)
            stream.synchronize()

    def machine(self, stream: Any) -> Gpu:
        """The device, on a stream."""
        return Gpu(self.cp, self.kernels, self.products, stream)


class TranslationExecutor:
    """Translates batches of up to ``sizes[-1]`` sentences, one after the other; for the rest see
    ``Executor``, whose methods it has.

    The host launches a graph of TURNS steps while one runs, in the size that suffices for the
    sentences that still went on when the one before it had ended, until none does.
    """

    def __init__(self, resident: TranslationResident, sizes: Sequence[int]) -> None:
        cp = resident.cp
        self._resident, self._sizes = resident, tuple(sizes)
        closer = range(CLOSE, self._sizes[-1], CLOSE)
        self._going = tuple(sorted({*self._sizes, *closer}))
        self.stream = cp.cuda.Stream(non_blocking=True)
        self._machine = resident.machine(self.stream)
        self.rows = np.zeros((SEATS, self._sizes[-1]), np.int32)
        self._host = {name: pinned(cp, (1,), np.int32) for name in ("count", "open")}
        self._host["rows"] = pinned(cp, (self._sizes[-1],), np.int32)
        self._ended = [cp.cuda.Event(disable_timing=True) for _ in range(TURNS)]
        self._graphs: dict[tuple[int, int], Any] = {}
        self._translator: Translator | None = None
        self._longest = 0

    def capture(self, samples: Sentences) -> None:
        """Record the graphs over the sentences in ``samples``."""
        self._samples = samples
        self._graphs.clear()
        longest = ceiling(samples.longest)
        with self.stream:
            if self._translator is None or longest > self._longest:
                self._make(longest)
            self._host["rows"][:] = 0
            for size in self._going:
                self._host["count"][0] = self._host["open"][0] = size
                batch = _next(self._sizes, size)
                for steps in range(longest, 0, -LENGTHS) if batch == size else ():
                    self._record(size, steps)
                self._encode(batch, longest)  # sentences for the steps to go on with
                self._record(size, 0)

    def _make(self, longest: int) -> None:
        self._translator, network = None, self._resident.network  # old buffers go first
        shape = (self._sizes[-1], longest * network.steps_per_token)
        self._host["answers"] = pinned(self._resident.cp, shape, np.int32)
        self._longest = longest
        self._translator = Translator(
            self._machine,
            network,
            self._resident.weights,
            self._host,
            self._sizes[-1],
            longest,
        )

    def _record(self, size: int, steps: int) -> None:
        """The graph of the encoder for ``steps`` tokens, or for 0 of the search's next steps."""

        def enqueue() -> None:
            assert self._translator is not None
            if steps:
                self._encode(size, steps)
            for turn in range(TURNS if steps == 0 else 0):
                self._translator.step(size, turn)

        enqueue()  # whatever is set up on first use
        self.stream.synchronize()
        self.stream.begin_capture()
        try:
            enqueue()
        finally:
            self._graphs[size, steps] = self.stream.end_capture()

    def _encode(self, size: int, steps: int) -> None:
        assert self._translator is not None
        self._translator.encode(size, steps, self._samples.rows)

    def launch(self, count: int, seat: int = 0) -> None:
        """Start on the sentences ``rows[seat, :count]``, of the array given to ``capture``."""
        rows, host = self.rows[seat, :count], self._host
        host["rows"][:count], host["rows"][count:] = rows, rows[0]
        host["count"][0] = host["open"][0] = count
        steps = ceiling(int(self._samples.lengths[rows].max()))
        self._graphs[_next(self._sizes, count), steps].launch(self.stream)
        self._search(count, 0)

    def left_s(self, seat: int = 0) -> None:
        """Unknown, and nothing can be launched behind a batch, in which the host has a part."""
        return None

    def answers(self, count: int, seat: int = 0) -> NDArray[Any]:
        """Wait for what was launched: int32 [count, most], each translation and its END."""
        assert self._translator is not None
        turn, going = 0, count
        while going:
            self._search(going, 1 - turn)
            self._ended[turn].synchronize()
            going, turn = int(self._host["open"][0]), 1 - turn
        with self.stream:
            self._translator.answer(count)
        self.stream.synchronize()
        return self._host["answers"][:count].copy()

    def _search(self, going: int, event: int) -> None:
        self._graphs[_next(self._going, going), 0].launch(self.stream)
        self._ended[event].record(self.stream)


def _next(sizes: Sequence[int], count: int) -> int:
    return next(size for size in sizes if size >= count)
