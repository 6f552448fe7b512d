"""The run of a benchmark once more, with the preprocessing of its samples inside the timed part.

The rules leave preprocessing untimed; the paper (IV-A) would rather capture it. What is measured
here stands beside the result and never in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine.build import Benchmark
from engine.datasets.library import Library
from engine.record import Record, run_section
from loadgen import Batch, LoadedSet, Queries, RunLog, SystemUnderTest, Watch, judge, run

# Preprocessing may be far slower than the network: the run ends after so many lengths of the first.
MOST_LENGTHS = 3.0


class PreprocessingSut:
    """A system that preprocesses each sample between taking and running it, from its raw form.

    The workers of ``sut`` do it themselves, and find what they made where the samples lie.
    """

    def __init__(self, sut: SystemUnderTest, library: Library) -> None:
        self.name, self.workers = sut.name, sut.workers
        self._sut, self._library = sut, library
        self._samples: LoadedSet | None = None

    def load(self, samples: LoadedSet) -> None:
        """Load the system; its samples are those that are written over."""
        self._samples = samples
        self._sut.load(samples)

    def unload(self) -> None:
        """Let go of the samples."""
        self._samples = None
        self._sut.unload()

    def serve(self, queries: Queries, worker: int) -> None:
        """Serve as the system does, from queries that are preprocessed when they are taken."""
        self._sut.serve(cast(Queries, Preprocessed(queries, self._preprocess)), worker)

    def _preprocess(self, indices: NDArray[np.int32]) -> None:
        assert self._samples is not None, "load comes before serve"
        rows = self._samples.rows(indices)
        for array, fresh in zip(self._samples.inputs, self._library.fresh(indices), strict=True):
            array[rows] = fresh  # workers that share a sample write the same


class Preprocessed:
    """Queries whose samples are preprocessed before the taker gets them."""

    def __init__(self, queries: Queries, preprocess: Callable[[NDArray[np.int32]], None]) -> None:
        self._queries, self._preprocess = queries, preprocess

    def take(self, *limits: Any) -> Batch | None:
        """As ``Queries.take``."""
        if (batch := self._queries.take(*limits)) is not None:
            self._preprocess(batch.indices)
        return batch


def put_preprocessed(
    benchmark: Benchmark, record: Record, follow: Callable[[str, Watch | None], Watch]
) -> RunLog | None:
    """Make the recorded run again, preprocessing timed, and put it beside; None without one."""
    if (first := record.log) is None:
        return None
    library, sut = cast(Library, benchmark.library), cast(SystemUnderTest, benchmark.sut)
    most_s = MOST_LENGTHS * float(first.completed_ns.max(initial=0)) / 1e9
    watch = follow("preprocessing timed", lambda progress: progress.elapsed_s > most_s)
    log = run(first.settings, library, PreprocessingSut(sut, library), watch, benchmark.meter)
    section = {"steps": library.steps, **run_section(log, judge(log))}
    record.data["preprocessing"] = section
    record.save()
    return log
