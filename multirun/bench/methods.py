"""Two ways to find a peak: this project's search, and doubling and bisection by full runs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from loadgen import Scenario, Settings, judge
from multirun.belief import Prior
from multirun.bench.systems import RULES, Make, go, passes, profiled, rules_at
from multirun.probing import evaluate, run_length_s, target_of
from multirun.search import Load, Probe, search
from sut.capacity import predict
from sut.simulated import SimulatedSut


@dataclass(frozen=True)
class Answer:
    """What a method says, and how many full runs it cost."""

    peak_qps: float | None
    run_lengths: float


def ceiling_qps(sut: SimulatedSut) -> float:
    """Offline throughput, by a short run."""
    settings = Settings(
        scenario=Scenario.OFFLINE, target_qps=sut.capacity_qps, min_duration_ms=5000
    )
    served = judge(go(sut, settings)).statistics.completed_samples_per_s
    assert served is not None
    return served


def searched(make: Make, seed: int) -> Answer:
    """By ``multirun.search``, from the service times and the offline throughput."""
    sut, bound_ms = make(seed), RULES.bound_ms
    assert bound_ms is not None
    ceiling = ceiling_qps(sut)
    found = predict(profiled(sut), bound_ms, target_of(rules_at(ceiling)).share)
    numbers = count(1)

    def one(load: Load) -> Probe:
        full = rules_at(load.rate_qps, seed)
        probe, _, _ = evaluate(
            load, full, next(numbers), lambda settings, name, watch: go(sut, settings, watch)
        )
        return probe

    result = search(
        one,
        Prior(
            min(found.peak_qps, 0.95 * ceiling),
            1.05 * ceiling,
            slope=found.slope,
            dispersion=found.dispersion,
        ),
        lambda rate: target_of(rules_at(rate)),
        lambda rate: run_length_s(rules_at(rate)),
    )
    return Answer(result.best_qps, result.run_lengths)


def bisected(make: Make, seed: int, tolerance: float = 0.01) -> Answer:
    """Double the rate until a run fails, then halve the interval: the last rate that passed."""
    sut, runs = make(seed), 0
    low, high = 0.0, 0.1 * ceiling_qps(sut)
    while passes(sut, high, seed):
        low, high, runs = high, 2 * high, runs + 1
    runs += 1
    while high - low > tolerance * high:
        middle, runs = (low + high) / 2, runs + 1
        low, high = (middle, high) if passes(sut, middle, seed) else (low, middle)
    return Answer(low or None, runs)
