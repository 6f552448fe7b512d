"""The search against systems whose peak is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from loadgen.statistics import allowed_over
from multirun.belief import Prior, Target
from multirun.search import Outcome, Probe, SearchSettings, search

RUN_S, SLOPE, SHARE = 60.0, 20.0, 0.01


def target(rate):
    queries = int(rate * RUN_S)
    return Target(queries, math.floor(queries * SHARE))


def length(rate):
    return RUN_S


class System:
    """Late by chance, independently: by a share that is ``SHARE`` at ``peak``."""

    def __init__(self, peak, seed=0, floor=0.0):
        self.peak, self.floor = peak, floor
        self.rng = np.random.default_rng(seed)
        self.loads = []

    def share(self, rate):
        return min(1.0, SHARE * (rate / self.peak) ** SLOPE + self.floor)

    def __call__(self, load):
        self.loads.append(load)
        queries = max(1, int(load.rate_qps * RUN_S * load.share))
        late = int(self.rng.binomial(queries, self.share(load.rate_qps)))
        outcome = Outcome.UNDECIDED
        if load.kind == "confirm":
            passed = late <= target(load.rate_qps).allowed
            outcome = Outcome.PASS if passed else Outcome.FAIL
        return Probe(
            load.rate_qps, load.kind, outcome, 1.0, late, queries, float(late), RUN_S * load.share
        )


@pytest.mark.parametrize("guess", [0.04, 0.08, 0.2])
def test_a_peak_far_above_the_guess_is_found(guess):
    system = System(1000.0)
    result = search(system, Prior(1000 * guess, 1050), target, length)
    assert result.best_qps == pytest.approx(1000, rel=0.02)
    assert result.interval_qps[0] < 1000 < 1.01 * result.interval_qps[1]


@settings(max_examples=15)
@given(
    peak=st.floats(100, 1e5),
    guess=st.floats(0.6, 1.6),
    seed=st.integers(0, 10_000),
)
@example(peak=100.0, guess=0.75, seed=1443)  # misses twice
def test_the_peak_is_found_from_a_bad_guess_within_the_budget(peak, guess, seed):
    system = System(peak, seed)
    result = search(system, Prior(peak * guess, peak * 3), target, length)
    assert result.best_qps is not None
    assert result.best_qps == pytest.approx(peak, rel=0.05)
    low, high = result.interval_qps
    assert 0.85 * peak < low < high < 1.25 * peak
    confirming = [probe for probe in result.probes if probe.kind == "confirm"]
    # 0.45 for the probes, and after a miss more of them where 2.5 leave that.
    assert result.run_lengths <= max(2.5, 0.48 + len(confirming)) + 1e-9
    assert result.best_qps in [p.rate_qps for p in confirming if p.outcome is Outcome.PASS]


def test_the_interval_holds_what_it_promises():
    peaks = np.random.default_rng(0).uniform(900, 1100, 20)
    results = [search(System(p, n), Prior(1000, 3000), target, length) for n, p in enumerate(peaks)]
    inside = [
        r.interval_qps[0] <= p <= r.interval_qps[1] for p, r in zip(peaks, results, strict=True)
    ]
    assert np.mean(inside) >= 0.85


def test_most_confirmations_pass_at_once():
    results = [search(System(1000.0, n), Prior(900, 3000), target, length) for n in range(20)]
    first = [next(p for p in r.probes if p.kind == "confirm").outcome for r in results]
    assert first.count(Outcome.PASS) >= 12


def test_a_failed_confirmation_is_evidence_and_the_next_lies_lower():
    system = System(1000.0)
    honest = system.__call__

    def moody(load):
        probe = honest(load)
        if load.kind == "probe" or load.rate_qps < 930:
            return probe
        late = int(0.02 * probe.query_count)
        return Probe(
            load.rate_qps, "confirm", Outcome.FAIL, 1.0, late, probe.query_count, late, RUN_S
        )

    result = search(moody, Prior(1000, 3000), target, length)
    tried = [p.rate_qps for p in result.probes if p.kind == "confirm"]
    assert len(tried) > 1
    assert tried == sorted(tried, reverse=True)
    assert result.best_qps is None or result.best_qps < 930


def test_disturbed_confirmations_are_no_reason_to_fall_far_below_the_peak():
    system = System(400.0, seed=3)
    confirmed = []

    def disturbed(load):
        probe = system(load)
        if load.kind == "confirm":
            confirmed.append(load.rate_qps)
            if len(confirmed) <= 4:  # a stall late in 5 of 100 queries, all in a few clusters
                late = int(0.05 * probe.query_count)
                probe = replace(
                    probe, outcome=Outcome.FAIL, late=late, cluster_squares=late**2 / 3.0
                )
        return probe

    result = search(disturbed, Prior(430, 1200), target, length)
    steps = np.divide(confirmed[1:], confirmed[:-1])
    assert len(steps) == 4
    assert all(step >= 1 - 0.1 * (n + 1) - 1e-9 for n, step in enumerate(steps))
    assert all(step < 1 for step in steps)
    assert result.best_qps == confirmed[-1]


def test_a_run_that_failed_for_another_reason_is_made_again_at_no_lower_rate():
    system = System(1000.0, seed=5)
    confirms = []

    def unpunctual(load):
        probe = system(load)
        if load.kind == "confirm" and not confirms:
            probe = replace(probe, outcome=Outcome.FAIL, late=0, cluster_squares=0.0)
        confirms.extend([load.rate_qps] if load.kind == "confirm" else [])
        return probe

    search(unpunctual, Prior(1000, 3000), target, length)
    assert confirms[1] >= confirms[0]


def test_nothing_is_claimed_where_nothing_passes():
    def hopeless(load):
        queries = int(load.rate_qps * RUN_S * load.share)
        return Probe(
            load.rate_qps,
            load.kind,
            Outcome.FAIL,
            1.0,
            queries,
            queries,
            queries,
            RUN_S * load.share,
        )

    result = search(
        hopeless, Prior(1000, 3000), target, length, SearchSettings(max_confirmations=3)
    )
    assert result.best_qps is None
    assert result.low_qps is None
    assert "3 confirming runs failed" in result.reason or "no rate above" in result.reason


def test_the_reason_names_the_rate_of_the_last_run():
    system = System(1000.0)

    def invalid(load):  # though hardly a query is late
        probe = system(load)
        return replace(probe, outcome=Outcome.FAIL, late=0) if load.kind == "confirm" else probe

    result = search(invalid, Prior(1000, 3000), target, length)
    last = [probe for probe in result.probes if probe.kind == "confirm"][-1]
    assert result.reason == f"6 confirming runs failed, the last at {last.rate_qps:.4g} qps"


def test_one_disturbed_probe_does_not_decide():
    system = System(1000.0, seed=3)
    calls = iter(range(1000))

    def disturbed(load):
        probe = system(load)
        if next(calls) != 1:
            return probe
        late = probe.query_count // 2
        return Probe(
            load.rate_qps, "probe", Outcome.FAIL, 9.0, late, probe.query_count, late**2, 1.0
        )

    result = search(disturbed, Prior(1000, 3000), target, length)
    assert result.best_qps == pytest.approx(1000, rel=0.04)


def test_five_runs_confirm_where_the_rules_ask_for_five():
    system = System(1000.0, seed=1)
    result = search(
        system,
        Prior(1000, 3000),
        target,
        length,
        SearchSettings(confirming_runs=5, confidence=0.97),
    )
    passed = [p for p in result.probes if p.kind == "confirm" and p.rate_qps == result.best_qps]
    assert [p.outcome for p in passed] == [Outcome.PASS] * 5


def test_the_first_of_five_runs_may_raise_the_rate():
    own = SearchSettings(confirming_runs=5, confidence=0.944)
    results = [
        search(System(1000.0, seed), Prior(1000, 3000), target, length, own) for seed in range(6)
    ]
    assert min(result.best_qps for result in results) > 980
    raised = 0
    for result in results:
        runs = [probe for probe in result.probes if probe.kind == "confirm"]
        last = [probe.outcome for probe in runs if probe.rate_qps == result.best_qps][-5:]
        assert last == [Outcome.PASS] * 5
        raised += runs[0].outcome is Outcome.PASS and runs[1].rate_qps > runs[0].rate_qps
    assert raised > 0


def test_no_rate_above_the_ceiling_is_tried():
    system = System(1000.0)
    search(system, Prior(780, 800), target, length)
    assert max(load.rate_qps for load in system.loads) <= 800


def test_where_many_are_late_at_any_rate_the_rates_are_not_given_up():
    """A floor at 60 % of what is allowed: slower runs, with fewer queries, pass less often."""

    def short(rate):
        queries = max(662, int(20 * rate))
        return Target(queries, allowed_over(queries, 99.0, 0.95))

    found = []
    for seed in range(10):
        system = System(100.0, seed, floor=0.004)

        def one(load, system=system):
            queries = max(1, int(short(load.rate_qps).queries * load.share))
            late = int(system.rng.binomial(queries, system.share(load.rate_qps)))
            passed = late <= short(load.rate_qps).allowed
            outcome = Outcome.PASS if passed else Outcome.FAIL
            return Probe(
                load.rate_qps,
                load.kind,
                outcome,
                1.0,
                late,
                queries,
                float(late),
                20.0 * load.share,
            )

        result = search(one, Prior(120, 400, slope=SLOPE), short, lambda rate: 20.0)
        found.append(result.best_qps or 0.0)
    assert sum(70 < rate < 110 for rate in found) >= 8


def test_a_system_that_is_too_slow_at_any_rate_is_soon_given_up():
    system = System(1000, floor=0.2)
    result = search(system, Prior(1000, 3000, floor_qps=60), target, length)
    assert result.best_qps is None
    # A tenth of the guess is more than what is nearly idle, and says nothing of that.
    assert result.reason == "no rate above 100 qps passed"
    slow = System(1000, floor=0.2)
    result = search(slow, Prior(1000, 3000, floor_qps=300), target, length)
    assert result.best_qps is None
    assert "no rate above 300 qps passed" in result.reason
    assert "late at any rate" in result.reason
    assert min(load.rate_qps for load in slow.loads) > 0.8 * 300
    assert result.run_lengths < 1
