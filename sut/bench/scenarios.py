"""A system in every scenario: Offline, Server at rising shares of it, and SingleStream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loadgen import Ending, LoadedSet, Mode, Scenario, Settings, judge, run
from sut.bench.cpu import Loaded

WARMUP_MS = 2000.0
"""Before each run: about as long as the card takes to settle at its power limit, during which it
runs faster and then, for a tenth of a second, slower than it can for long.
"""


@dataclass(frozen=True)
class Tail:
    """Table III: the latency bound of Server, and the percentile that it holds at; ``shares``: of
    the Offline throughput, that Server is tried at.
    """

    bound_ms: float
    percentile: float = 99.0
    shares: Sequence[float] = (0.9, 0.95, 0.97)


TAILS = {
    "resnet50": Tail(15.0),
    "mobilenet": Tail(10.0),
    "ssd_mobilenet": Tail(10.0),
    "ssd_resnet34": Tail(100.0),
    "gnmt": Tail(250.0, 97.0, (0.6, 0.8, 0.9, 0.95)),
}


def offline(sut: Any, samples: LoadedSet, seconds: float, warmup_ms: float = 300.0) -> float:
    """Samples/s of an offline run of about ``seconds``; RuntimeError if it fails."""
    sut.load(samples)
    guess = sut.max_batch / sut.service_time_s(samples, sut.max_batch)
    settings = Settings(
        scenario=Scenario.OFFLINE,
        target_qps=sut.workers * guess,
        min_query_count=1,
        min_duration_ms=1e3 * seconds,
        warmup_ms=warmup_ms,
    )
    log = run(settings, Loaded(samples), sut)
    if log.ending is not Ending.COMPLETE:
        raise RuntimeError(f"{sut.name} failed: {log.error}")
    return float(len(log.sample_index) / (log.latency_ns.max() / 1e9))


def scenarios(
    sut: Any, name: str, samples: LoadedSet, seconds: float, label: dict[str, Any], say: Any
) -> float:
    """Offline with all workers, the others with one; samples/s of Offline."""
    library, ms, tail = Loaded(samples), 1e3 * seconds, TAILS[name]

    def measured(scenario: Scenario, **more: Any) -> Any:
        settings = Settings(
            scenario=scenario, mode=Mode.PERFORMANCE, min_query_count=1, warmup_ms=WARMUP_MS, **more
        )
        log = run(settings, library, sut)
        return log, judge(log)

    rate = offline(sut, samples, seconds, WARMUP_MS)
    say(**label, scenario="offline", samples_per_s=rate)
    workers, sut.workers = sut.workers, 1
    for share in tail.shares:
        log, verdict = measured(
            Scenario.SERVER,
            target_qps=share * rate,
            min_duration_ms=ms,
            bound_ms=tail.bound_ms,
            percentile=tail.percentile,
        )
        say(
            **label,
            scenario="server",
            share=share,
            mean_batch=verdict.statistics.batch_size_mean,
            **{f"p{tail.percentile:g}_ms": _percentile(log, tail.percentile)},
            valid=verdict.valid,
            failed=[x.name for x in verdict.constraints if not x.passed],
        )
        if not verdict.valid:
            break
    log, verdict = measured(Scenario.SINGLE_STREAM, min_duration_ms=ms)
    p50, p90, p99 = (_percentile(log, x) for x in (50, 90, 99))
    say(
        **label,
        scenario="single_stream",
        p50_ms=p50,
        p90_ms=p90,
        p99_ms=p99,
        valid=verdict.valid,
    )
    sut.workers = workers
    return rate


def _percentile(log: Any, percent: float) -> float:
    return float(np.percentile(log.latency_ns, percent)) / 1e6
