"""The search against true peaks that a second simulation finds, sharing no code with the first.

Lindley's recursion in NumPy on arrivals of its own, in place of the fleet, the load generator and
its verdict. The true peak is where the share of late queries is what a full run may just have.
"""

import heapq
import math
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import binom

from multirun.bench import methods, systems

BOUND_S, RUN_S, PERCENTILE, CONFIDENCE = 0.015, 600.0, 0.99, 0.99
DOCS = Path(__file__).parents[2] / "docs" / "search.md"


def allowed(queries):
    """The most late ones of so many with which early stopping still passes."""
    few, many = 0, int((1 - PERCENTILE) * queries)
    while few < many:  # the largest t with P(at most t late, were 1 % late) below 1 %
        middle = (few + many + 1) // 2
        enough = binom.cdf(middle, queries, 1 - PERCENTILE) <= 1 - CONFIDENCE
        few, many = (middle, many) if enough else (few, middle - 1)
    return few


def lindley(arrivals_s, services_s):
    """When one worker is done with each, first come first served."""
    before_s = np.concatenate([[0.0], np.cumsum(services_s)[:-1]])
    return np.maximum.accumulate(arrivals_s - before_s) + before_s + services_s


def one_worker(services):
    def latency(arrivals_s, rng):
        return lindley(arrivals_s, services(arrivals_s, rng)) - arrivals_s

    return latency


def eight_workers(arrivals_s, rng):
    """Equal services leave in the order they came: each eighth has a worker to itself."""
    latency_s = np.empty_like(arrivals_s)
    for first in range(8):
        own = arrivals_s[first::8]
        latency_s[first::8] = lindley(own, np.full(len(own), 0.004)) - own
    return latency_s


def batches(arrivals_s, rng):
    """All that wait, up to 32, when the worker is free; linear from 1.0 ms to 4.1 ms."""
    ends_s, first, free_s, count = np.empty_like(arrivals_s), 0, 0.0, len(arrivals_s)
    while first < count:
        begin_s = max(free_s, arrivals_s[first])
        last = first + int(arrivals_s[first : first + 32].searchsorted(begin_s, side="right"))
        free_s = begin_s + 1e-3 * (1.0 + 0.1 * (last - first - 1))
        ends_s[first:last], first = free_s, last
    return ends_s - arrivals_s


def lognormal(arrivals_s, rng):
    return 1e-3 * rng.lognormal(-(0.5**2) / 2, 0.5, len(arrivals_s))


def drift(arrivals_s, rng):
    return 1e-3 * (1 + 0.03 * np.sin(2 * math.pi * arrivals_s / 97))


def stalls(arrivals_s, rng):
    return 1e-3 + 4e-3 * (rng.random(len(arrivals_s)) < 0.01)


LATENCY = {
    "M/D/1": one_worker(lambda arrivals_s, rng: np.full(len(arrivals_s), 1e-3)),
    "M/D/8": eight_workers,
    "batches": batches,
    "lognormal": one_worker(lognormal),
    "drift": one_worker(drift),
    "stalls": one_worker(stalls),
}


QUERIES = 4_000_000


def excess(name, rate_qps):
    """Logarithm of the late share over that with which a full run passes every second time."""
    rng, planned = np.random.default_rng(7), int(rate_qps * RUN_S)
    arrivals_s = rng.exponential(1 / rate_qps, QUERIES).cumsum()
    late = (LATENCY[name](arrivals_s, rng) > BOUND_S).mean()
    return math.log(max(late, 1e-6) / ((allowed(planned) + 0.5) / planned))


def true_peak(name, about_qps):
    """Where the excess is nothing."""
    return brentq(lambda rate: excess(name, rate), 0.96 * about_qps, 1.04 * about_qps, xtol=0.1)


def published():
    """The peaks of the table in the documentation, by the bench's names."""
    rows = re.findall(r"^\| ([^|]+?) \| (\d+\.\d) \|", DOCS.read_text(), re.MULTILINE)
    return dict(zip(LATENCY, (float(peak) for _, peak in rows), strict=True))


QUICK = [name for name in LATENCY if name != "batches"]


@pytest.mark.parametrize("name", [*QUICK, pytest.param("batches", marks=pytest.mark.slow)])
def test_the_published_peaks_are_those_of_the_other_simulation(name):
    peak = published()[name]
    assert excess(name, 0.992 * peak) < 0 < excess(name, 1.008 * peak)


def test_the_worker_that_is_free_first_takes_the_next():
    """Eight queues in turn are one queue, by a heap of free workers."""
    rng = np.random.default_rng(3)
    arrivals_s = rng.exponential(1 / 1800, 5000).cumsum()
    free_s = [0.0] * 8
    ends_s = []
    for at_s in arrivals_s:
        ends_s.append(max(at_s, heapq.heappop(free_s)) + 0.004)
        heapq.heappush(free_s, ends_s[-1])
    np.testing.assert_allclose(eight_workers(arrivals_s, rng), np.array(ends_s) - arrivals_s)


def test_a_search_ends_within_two_percent_of_it():
    answer = methods.searched(systems.SYSTEMS["M/D/1"], 3)
    assert answer.peak_qps == pytest.approx(published()["M/D/1"], rel=0.02)
    assert answer.run_lengths <= 2.5


@pytest.mark.slow
@pytest.mark.parametrize("name", LATENCY)
def test_nineteen_searches_of_twenty_do(name):
    peak, make = true_peak(name, published()[name]), systems.SYSTEMS[name]
    answers = [methods.searched(make, seed) for seed in range(1, 21)]
    good = [
        answer.peak_qps is not None
        and abs(answer.peak_qps / peak - 1) <= 0.02
        and answer.run_lengths <= 2.5
        for answer in answers
    ]
    assert sum(good) >= 19
