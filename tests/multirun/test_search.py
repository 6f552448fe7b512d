"""The search against systems whose peak is known."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirun.guess import poisson_peak_qps
from multirun.search import Probe, SearchSettings, search


def sharp(peak, noise=0.0, seed=0):
    """A system that passes up to its peak, which ``noise`` moves from run to run."""
    generator = random.Random(seed)

    def evaluate(rate, kind):
        passed = rate <= peak * (1 + noise * generator.uniform(-1, 1))
        return Probe(rate, kind, passed, 1.0, 0.0, 100, 1.0)

    return evaluate


@given(
    peak=st.floats(1, 1e6),
    ceiling=st.floats(1.02, 20),
    guess=st.floats(0.02, 20),
    seed=st.integers(),
)
def test_a_sharp_peak_is_found_within_the_tolerance(peak, ceiling, guess, seed):
    settings = SearchSettings(
        ceiling_qps=peak * ceiling,
        guess_qps=peak * guess,
        floor_qps=peak / 100,
        relative_tolerance=0.05,
        max_probes=60,
    )
    result = search(sharp(peak), settings)
    assert result.best_qps is not None
    assert peak * 0.94 <= result.best_qps <= peak
    assert result.low_qps <= peak <= result.high_qps
    assert result.probes[-1].kind == "confirm"


def test_a_good_guess_needs_few_probes():
    settings = SearchSettings(ceiling_qps=150.0, guess_qps=98.0, floor_qps=1.0)
    assert len(search(sharp(100.0), settings).probes) <= 6


def test_a_confirmation_that_fails_steps_back():
    def evaluate(rate, kind):
        limit = 100 if kind == "probe" else 93
        return Probe(rate, kind, rate <= limit, 1.0, 0.0, 100, 1.0)

    settings = SearchSettings(ceiling_qps=150.0, guess_qps=99.0, floor_qps=1.0, back_off=0.03)
    result = search(evaluate, settings)
    tried = [probe.rate_qps for probe in result.probes if probe.kind == "confirm"]
    assert result.best_qps == tried[-1] <= 93
    steps = [1 - later / earlier for earlier, later in pairwise(tried)]
    assert steps == pytest.approx([0.03 * (n + 1) for n in range(len(steps))])


def test_nothing_is_claimed_when_nothing_passes():
    settings = SearchSettings(ceiling_qps=100.0, guess_qps=50.0, floor_qps=5.0)
    result = search(sharp(0.0), settings)
    assert result.best_qps is None
    assert "no rate above" in result.reason
    assert len(result.probes) <= settings.max_probes
    assert {probe.kind for probe in result.probes} == {"probe"}


def test_nothing_is_claimed_when_no_confirmation_passes():
    def evaluate(rate, kind):
        return Probe(rate, kind, kind == "probe" and rate < 80, 1.0, 0.0, 100, 1.0)

    settings = SearchSettings(ceiling_qps=100.0, guess_qps=50.0, floor_qps=5.0)
    result = search(evaluate, settings)
    assert result.best_qps is None
    assert "6 confirming runs failed" in result.reason


@given(st.integers(0, 200))
def test_a_noisy_system_yields_a_rate_that_really_passed(seed):
    settings = SearchSettings(ceiling_qps=200.0, guess_qps=60.0, floor_qps=1.0)
    result = search(sharp(100.0, noise=0.05, seed=seed), settings)
    assert result.best_qps is not None
    assert result.best_qps <= 105
    assert result.probes[-1].passed


@given(service_ms=st.floats(0.1, 50), slack=st.floats(1.01, 20), share=st.floats(0.001, 0.1))
def test_the_guess_lies_below_the_capacity(service_ms, slack, share):
    service_s = service_ms / 1000
    guess = poisson_peak_qps(service_s, service_s * slack, share)
    assert 0 < guess < 1 / service_s
    assert poisson_peak_qps(service_s, service_s * slack * 2, share) > guess


def test_no_rate_is_guessed_where_one_query_is_too_slow():
    assert poisson_peak_qps(0.02, 0.015, 0.01) == 0.0


def test_the_guess_is_near_a_simulated_queue():
    """M/D/1 by Lindley's recursion: at the guessed rate about the given share is late."""
    import numpy as np

    service_s, bound_s, share = 0.003, 0.010, 0.005
    rate = poisson_peak_qps(service_s, bound_s, share)
    gaps = np.random.default_rng(1).exponential(1 / rate, 200_000)
    walk = np.concatenate([[0.0], np.cumsum(service_s - gaps)])[:-1]
    waits = walk - np.minimum.accumulate(walk)
    late = (waits + service_s > bound_s).mean()
    assert share / 1.5 < late < share * 1.5
