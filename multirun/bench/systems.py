"""Simulated systems that are hard in different ways, and the rules they are held to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from loadgen import RunLog, Scenario, Settings, judge, run
from loadgen.progress import Watch
from loadgen.samples import NoSamples
from sut.curve import ServiceCurve
from sut.simulated import Fortune, SimulatedSut

# ResNet-50's bound and the duration of edition v4.0; early stopping at 99 % confidence.
RULES = Settings(
    scenario=Scenario.SERVER,
    target_qps=1.0,
    bound_ms=15.0,
    percentile=99.0,
    min_duration_ms=600_000.0,
    min_query_count=100,
    confidence=0.99,
)
ONE, BATCHES, EIGHT = (
    ServiceCurve((1,), (1.0,)),
    ServiceCurve((1, 32), (1.0, 4.1)),
    ServiceCurve((1,), (4.0,)),
)

Make = Callable[[int], SimulatedSut]

SYSTEMS: dict[str, Make] = {
    "M/D/1": lambda seed: SimulatedSut(ONE, fortune=Fortune(seed=seed)),
    "M/D/8": lambda seed: SimulatedSut(EIGHT, workers=8, fortune=Fortune(seed=seed)),
    "batches": lambda seed: SimulatedSut(BATCHES, max_batch=32, fortune=Fortune(seed=seed)),
    "lognormal": lambda seed: SimulatedSut(ONE, fortune=Fortune(spread=0.5, seed=seed)),
    "drift": lambda seed: SimulatedSut(
        ONE, fortune=Fortune(drift=0.03, drift_period_s=97, seed=seed)
    ),
    "stalls": lambda seed: SimulatedSut(
        ONE, fortune=Fortune(stall_share=0.01, stall_ms=4, seed=seed)
    ),
}


def rules_at(rate_qps: float, seed: int = 0) -> Settings:
    """A run under the full rules; ``seed`` gives it arrivals of its own."""
    return replace(RULES, target_qps=rate_qps, schedule_seed=1 + 1_000_003 * seed)


def go(sut: SimulatedSut, settings: Settings, watch: Watch | None = None) -> RunLog:
    """One run in virtual time."""
    return run(settings, NoSamples(), sut, watch)


def passes(sut: SimulatedSut, rate_qps: float, seed: int) -> bool:
    """Whether a full run is VALID."""
    return judge(go(sut, rules_at(rate_qps, seed))).valid


def profiled(sut: SimulatedSut) -> SimulatedSut:
    """What is known of a system once its batches were timed: no chance, no drift."""
    return SimulatedSut(sut.curve, workers=sut.workers, max_batch=sut.max_batch)
