"""The cases, each a function of the generator's driver that returns named figures."""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from loadgen import LoadedSet, Queries, RunLog, Scenario, Settings, SystemUnderTest, judge, run
from loadgen._native import NativeNull
from loadgen.official import write_logs

Figures = dict[str, float]
SAMPLES = 1024


class Library:
    """Samples that are nothing but their index."""

    name = "numbers"
    total_count = performance_count = SAMPLES

    def load(self, indices: np.ndarray) -> LoadedSet:
        """The indices themselves."""
        return LoadedSet(indices, (indices[:, None],))

    def unload(self, indices: object) -> None:
        """Nothing to let go of."""


class PythonNull:
    """The shortest system under test that Python can write."""

    name = "python null"
    workers = 1

    def __init__(self, max_batch: int = 1) -> None:
        self.max_batch = max_batch

    def load(self, samples: LoadedSet) -> None:
        """Nothing to get ready."""

    def unload(self) -> None:
        """Nothing to let go of."""

    def serve(self, queries: Queries, worker: int) -> None:
        """Take and complete."""
        while (batch := queries.take(self.max_batch)) is not None:
            batch.complete()


def system(native: bool, max_batch: int) -> SystemUnderTest:
    """The null system, native or in Python."""
    return NativeNull(1, max_batch) if native else PythonNull(max_batch)


def _server(rate: float, native: bool, max_batch: int, spin_us: float, seconds: float) -> RunLog:
    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=rate,
        bound_ms=1.0,
        min_duration_ms=seconds * 1000,
        spin_us=spin_us,
        confidence=None,
    )
    return run(settings, Library(), system(native, max_batch))


def server_rate(native: bool) -> Figures:
    """Highest rate on a ladder with 99 % completed and p99 below 1 ms, two tries each."""
    best = 0.0
    for rate in np.geomspace(1e6, 32e6, 16):
        if not any(_keeps_up(rate, native) for _ in range(2)):
            break
        best = float(rate)
    return {"queries/s": best}


def _keeps_up(rate: float, native: bool) -> bool:
    statistics = judge(_server(rate, native, 64, 0.0, 0.5)).statistics
    assert statistics.scheduled_qps is not None
    completed = statistics.completed_samples_per_s or 0.0
    return completed >= 0.99 * statistics.scheduled_qps and statistics.latency_ms["p99"] < 1.0


def lateness(native: bool, spin_us: float = 0.0) -> Figures:
    """How late a waiting taker wakes at 10,000 queries/s."""
    late = judge(_server(10_000, native, 1, spin_us, 2.0)).statistics.wake_late_us
    return {"p50 us": late["p50"], "p99 us": late["p99"]}


def lateness_spinning(native: bool) -> Figures:
    """The same, spinning for the last 100 us."""
    return lateness(native, 100.0)


def lateness_beside_python(native: bool) -> Figures:
    """The same without spinning, beside a thread that runs pure Python."""
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        return lateness(native)
    finally:
        stop.set()
        busy.join()


def offline(native: bool) -> Figures:
    """10 M samples in batches of 10,000: from the first take to the last completion."""
    settings = Settings(
        scenario=Scenario.OFFLINE, target_qps=1.0, min_sample_count=10_000_000, min_duration_ms=0
    )
    before_mb = peak_mb()
    log = run(settings, Library(), system(native, 10_000))
    used_mb = peak_mb() - before_mb
    seconds = float(log.completed_ns.max() - log.taken_ns.min()) / 1e9
    return {"s": seconds, "MB": used_mb, "B/query": used_mb * 1e6 / 10_000_000}


def single_stream(native: bool) -> Figures:
    """From one query's issue to the next one's, with a system that answers at once."""
    settings = Settings(scenario=Scenario.SINGLE_STREAM, min_duration_ms=1000)
    log = run(settings, Library(), system(native, 1))
    return {"p50 us": float(np.median(np.diff(log.scheduled_ns))) / 1e3}


def judging(native: bool) -> Figures:
    """1 M server queries after the run: judged, and the official logs written."""
    log = _server(1_000_000, native, 64, 0.0, 1.0)
    began = time.perf_counter()
    verdict = judge(log)
    judged = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        write_logs(
            Path(folder),
            log,
            verdict,
            sut_name="null",
            library_name=Library.name,
            total_count=SAMPLES,
            performance_count=SAMPLES,
        )
        ended = time.perf_counter()
    return {"judged s": judged - began, "logged s": ended - judged, "both s": ended - began}


def generation(native: bool) -> Figures:
    """1 M server queries generated before the run."""
    from loadgen._traffic import generate

    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=1e6,
        bound_ms=1.0,
        min_duration_ms=0,
        min_query_count=1_000_000,
    )
    began = time.perf_counter()
    generate(settings, np.arange(SAMPLES))
    return {"s": time.perf_counter() - began}


def peak_mb() -> float:
    """The process' peak memory in MB."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


CASES: dict[str, Callable[[bool], Figures]] = {
    case.__name__: case
    for case in (
        server_rate,
        lateness,
        lateness_spinning,
        lateness_beside_python,
        offline,
        single_stream,
        judging,
        generation,
    )
}
