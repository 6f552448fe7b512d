"""One system in Server, at rising shares of its Offline throughput, and in SingleStream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from loadgen import Mode, Scenario, Settings, judge, run
from sut.bench.cpu import Loaded
from sut.bench.networks import Subject

SHARES = (0.9, 0.95, 0.97)
"""Of the Offline throughput, that Server is tried at."""
WARMUP_MS = 2000.0
"""Before each run: about as long as the card takes to settle at its power limit, during which it
runs faster and then, for a tenth of a second, slower than it can for long.
"""
BOUNDS_MS = {"resnet50": 15.0, "mobilenet": 10.0, "ssd_mobilenet": 10.0, "ssd_resnet34": 100.0}
"""Table III."""


def show(
    sut: Any, given: Subject, offline_rate: float, seconds: float, say: Callable[..., None]
) -> None:
    """A line for each run of ``seconds``, with one stream; Server up to the first share of
    ``offline_rate`` (samples/s) that is not VALID.
    """
    library, ms = Loaded(given.samples), 1e3 * seconds

    def measured(scenario: Scenario, **more: Any) -> Any:
        settings = Settings(
            scenario=scenario, mode=Mode.PERFORMANCE, min_query_count=1, warmup_ms=WARMUP_MS, **more
        )
        log = run(settings, library, sut)
        return log, judge(log)

    workers, sut.workers = sut.workers, 1
    for share in SHARES:
        log, verdict = measured(
            Scenario.SERVER,
            target_qps=share * offline_rate,
            min_duration_ms=ms,
            bound_ms=BOUNDS_MS[given.name],
        )
        say(
            scenario="server",
            share=share,
            mean_batch=verdict.statistics.batch_size_mean,
            p99_ms=float(np.percentile(log.latency_ns, 99)) / 1e6,
            valid=verdict.valid,
            failed=[x.name for x in verdict.constraints if not x.passed],
        )
        if not verdict.valid:
            break
    log, verdict = measured(Scenario.SINGLE_STREAM, min_duration_ms=ms)
    p50, p90, p99 = np.percentile(log.latency_ns, (50, 90, 99)) / 1e6
    say(
        scenario="single_stream",
        p50_ms=float(p50),
        p90_ms=float(p90),
        p99_ms=float(p99),
        valid=verdict.valid,
    )
    sut.workers = workers
