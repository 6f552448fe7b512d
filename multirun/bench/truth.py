"""The true peak: the rate at which a full run passes with probability one half."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from multirun.bench.systems import Make, passes

RUNS = 120
# Arrivals that no search has.
FIRST_SEED = 500_000


@dataclass(frozen=True)
class Truth:
    """``peak_qps``; ``steepness``: of the probability to pass, over the rate's logarithm."""

    peak_qps: float
    steepness: float

    def pass_probability(self, rate_qps: float) -> float:
        """How likely a full run at this rate is to pass."""
        return float(expit(-self.steepness * math.log(rate_qps / self.peak_qps)))


def truth(make: Make, ceiling_qps: float) -> Truth:
    """By full runs with independent arrivals around the peak, and a logistic regression."""
    low, high = math.log(0.1 * ceiling_qps), math.log(ceiling_qps)
    while high - low > 0.02:
        middle = (low + high) / 2
        times = sum(passes(make(n), math.exp(middle), FIRST_SEED + n) for n in range(5))
        low, high = (middle, high) if times >= 3 else (low, middle)
    around = (low + high) / 2
    logs = around + np.linspace(-0.03, 0.03, RUNS)
    seeds = range(FIRST_SEED + 10, FIRST_SEED + 10 + RUNS)
    runs = zip(logs, seeds, strict=True)
    passed = np.array([passes(make(seed), math.exp(rate), seed) for rate, seed in runs])

    def unlikelihood(unknown: np.ndarray) -> float:
        peak, log_steepness = unknown
        score = -math.exp(log_steepness) * (logs - peak)
        return float(np.logaddexp(0, np.where(passed, -score, score)).sum())

    found = minimize(unlikelihood, (around, math.log(200)), method="Nelder-Mead").x
    return Truth(math.exp(found[0]), math.exp(found[1]))
