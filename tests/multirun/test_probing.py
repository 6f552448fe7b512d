"""One run of a search on simulated systems: what it decides, and how soon."""

import numpy as np
import pytest

from loadgen import Scenario, Settings, run
from loadgen.samples import NoSamples
from loadgen.statistics import cluster_squares
from multirun.probing import RunFailed, decided, evaluate, query_count, target_of
from multirun.search import Load, Outcome
from sut.curve import ServiceCurve
from sut.simulated import Fortune, SimulatedSut

FULL = Settings(scenario=Scenario.SERVER, target_qps=800, bound_ms=10, min_duration_ms=60_000)


def probed(rate, kind="probe", share=0.5, sut=None, dispersion=10.0):
    import dataclasses

    def go(settings, name, watch):
        return run(settings, NoSamples(), sut or SimulatedSut(ServiceCurve((1,), (1.0,))), watch)

    full = dataclasses.replace(FULL, target_qps=rate)
    return evaluate(Load(rate, kind, share, dispersion), full, 1, go)


def test_a_hopeless_rate_fails_within_a_second():
    probe, _, _ = probed(1500)
    assert probe.outcome is Outcome.FAIL
    assert probe.duration_s < 1


def test_an_easy_rate_passes_before_its_time():
    probe, _, _ = probed(300)
    assert probe.outcome is Outcome.PASS
    assert probe.duration_s < 30


def test_a_rate_at_the_peak_stays_undecided_and_says_what_it_saw():
    probe, log, _ = probed(770, share=0.3)
    assert probe.outcome is Outcome.UNDECIDED
    assert probe.duration_s == pytest.approx(18, rel=0.02)
    late = (log.latency_ns > 10e6)[int(0.1 * len(log.latency_ns)) :]
    assert probe.late == late.sum()
    assert probe.query_count == len(late)
    assert probe.late <= probe.cluster_squares <= probe.late**2


def test_a_confirming_run_has_the_full_length_and_the_rules_own_seed():
    probe, log, verdict = probed(700, "confirm", 1.0)
    assert probe.outcome is Outcome.PASS
    assert log.settings.schedule_seed == FULL.schedule_seed
    assert verdict.statistics.duration_s > 60
    _, short, _ = probed(700)
    assert short.settings.schedule_seed != FULL.schedule_seed


def test_a_confirming_run_that_cannot_pass_any_more_ends():
    probe, _, _ = probed(900, "confirm", 1.0)
    assert probe.outcome is Outcome.FAIL
    assert probe.duration_s < 40


def test_a_system_that_breaks_ends_the_search_with_its_log():
    with pytest.raises(RunFailed) as caught:
        probed(300, sut=SimulatedSut(ServiceCurve((1,), (1.0,)), fortune=Fortune(fail_share=0.1)))
    assert len(caught.value.log.failed)


def test_clusters_end_where_the_queue_has_relaxed():
    calm, late, high = [1.0] * 5, [12.0, 11.0], [8.0]
    assert cluster_squares(np.array(calm), 10) == 0
    assert cluster_squares(np.array([*late, *calm, *late]), 10) == 8
    assert cluster_squares(np.array([*calm, *late, *high, *late]), 10) == 16


@pytest.mark.parametrize(
    ("late", "seen", "outcome"),
    [
        (0, 100, Outcome.UNDECIDED),
        (0, 100_000, Outcome.PASS),
        (100, 100, Outcome.FAIL),
        (10, 1000, Outcome.UNDECIDED),
        (5000, 100_000, Outcome.FAIL),
        (0, 0, Outcome.UNDECIDED),
    ],
)
def test_a_decision_waits_until_the_other_is_unlikely(late, seen, outcome):
    assert decided(late, seen, 0.01, 10.0) is outcome


def test_the_target_is_the_early_stopping_count():
    assert query_count(FULL) == 48_000
    assert target_of(FULL).allowed == 429


def test_too_early_a_decision_is_rarely_wrong():
    """At the peak itself either decision is wrong; looked at after each 50 of 5,000 queries."""
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(200):
        counts = rng.binomial(50, 0.01, 100).cumsum()
        seen = 50 * np.arange(1, 101)
        wrong += any(
            decided(int(c), int(n), 0.01, 1.0) is not Outcome.UNDECIDED
            for c, n in zip(counts, seen, strict=True)
        )
    assert wrong <= 10
