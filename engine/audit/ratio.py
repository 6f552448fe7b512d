"""How much slower one kind of run is than another, from runs in pairs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from engine.audit.finding import Outcome
from loadgen import RunLog, Scenario, judge

CONFIDENCE = 0.98
"""Of the two-sided interval: 99 % on the side that decides."""
TOO_NOISY = "too noisy to tell: set audit.seconds or audit.max_pairs higher"


@dataclass(frozen=True)
class Ratio:
    """Cost of the second kind over that of the first: geometric mean and its interval."""

    estimate: float
    low: float
    high: float
    pairs: int

    def __str__(self) -> str:
        return f"{self.estimate:.3f} ({self.low:.3f} to {self.high:.3f}, {self.pairs} pairs)"

    @property
    def figures(self) -> dict[str, float | int]:
        """The record's figures of it."""
        return {
            "ratio": self.estimate,
            "ratio_low": self.low,
            "ratio_high": self.high,
            "pairs": self.pairs,
        }

    def within(self, limit: float) -> Outcome:
        """Whether it is at most ``limit``."""
        if self.low > limit:
            return Outcome.FAIL
        return Outcome.PASS if self.high <= limit else Outcome.UNDECIDED


def cost_s(log: RunLog) -> float:
    """What a run makes of a system's speed, in seconds, less is better.

    Offline: the run's time per sample; else the median latency of a query.
    """
    statistics = judge(log).statistics
    if log.settings.scenario is Scenario.OFFLINE:
        return statistics.duration_s / max(statistics.sample_count, 1)
    return statistics.latency_ms["p50"] / 1000


def ratio_of(first_s: list[float], second_s: list[float]) -> Ratio:
    """The ratio of ``second_s`` to ``first_s``, pair by pair.

    Student's t on the logarithms: a machine that drifts changes both runs of a pair alike.
    """
    logs = np.log(np.array(second_s) / np.array(first_s))
    if len(logs) < 2:
        return Ratio(math.exp(logs[0]), 0.0, math.inf, len(logs))
    middle, error = float(logs.mean()), float(stats.sem(logs))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1)) * error
    low, high = math.exp(middle - half), math.exp(middle + half)
    return Ratio(math.exp(middle), low, high, len(logs))


def compare(
    first: Callable[[int], RunLog],
    second: Callable[[int], RunLog],
    limit: float,
    least_pairs: int,
    most_pairs: int,
) -> Ratio:
    """Run pairs, their order alternating, until the ratio is decided against ``limit``.

    ``first`` and ``second`` make the run number n of their kind.
    """
    costs_s: tuple[list[float], list[float]] = ([], [])
    for number in range(most_pairs):
        order = ((first, costs_s[0]), (second, costs_s[1]))
        for go, kept in order if number % 2 == 0 else reversed(order):
            kept.append(cost_s(go(number)))
        found = ratio_of(*costs_s)
        if number + 1 >= least_pairs and found.within(limit) is not Outcome.UNDECIDED:
            break
    return found
