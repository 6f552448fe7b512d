"""The search for the number of streams, on systems whose largest number is known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import RunLog, Scenario, Settings, judge, run
from loadgen.progress import Watch
from loadgen.samples import NoSamples
from multirun.search import Load, Outcome, Probe
from multirun.streams import StreamSettings, evaluate_streams, search_streams, streams_of
from sut.curve import ServiceCurve
from sut.simulated import Fortune, SimulatedSut

INTERVAL_MS = 50.0


def judged(limit, made=None):
    """Every number up to ``limit`` passes."""

    def evaluate(load: Load) -> Probe:
        streams = streams_of(load.rate_qps, INTERVAL_MS)
        if made is not None:
            made.append((streams, load.kind))
        outcome = Outcome.PASS if streams <= limit else Outcome.FAIL
        return Probe(load.rate_qps, load.kind, outcome, 1.0, 0, 100, 0.0, 1.0)

    return evaluate


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_largest_number_is_found_from_any_guess(limit, guess):
    made = []
    found = search_streams(judged(limit, made), guess, INTERVAL_MS)
    best = streams_of(found.best_qps, INTERVAL_MS)
    assert best <= limit
    assert limit - best <= max(1, 0.011 * limit)
    assert len(made) == len(set(made)) <= 32


def test_a_good_guess_needs_few_runs():
    made = []
    search_streams(judged(41, made), 42, INTERVAL_MS)
    assert len(made) <= 5


def test_nothing_is_claimed_where_one_stream_fails():
    found = search_streams(judged(0), 7, INTERVAL_MS)
    assert found.best_qps is None
    assert found.reason == "one stream alone fails"


def test_a_failed_confirmation_steps_down():
    def evaluate(load: Load) -> Probe:
        streams = streams_of(load.rate_qps, INTERVAL_MS)
        limit = 20 if load.kind == "probe" else 18
        outcome = Outcome.PASS if streams <= limit else Outcome.FAIL
        return Probe(load.rate_qps, load.kind, outcome, 1.0, 0, 100, 0.0, 1.0)

    found = search_streams(evaluate, 20, INTERVAL_MS)
    assert streams_of(found.best_qps, INTERVAL_MS) == 18


def full(streams, queries=20_000):
    return Settings(
        scenario=Scenario.MULTI_STREAM,
        interval_ms=INTERVAL_MS,
        samples_per_query=streams,
        min_query_count=queries,
        min_duration_ms=60_000,
        confidence=None,
    )


def searched(sut, guess, queries=20_000):
    def go(settings: Settings, name: str, watch: Watch | None) -> RunLog:
        return run(settings, NoSamples(), sut, watch)

    def one(load: Load) -> Probe:
        streams = streams_of(load.rate_qps, INTERVAL_MS)
        return evaluate_streams(load, full(streams, queries), StreamSettings(), go)[0]

    return search_streams(one, guess, INTERVAL_MS)


@pytest.mark.parametrize("guess", [20, 24, 31])
def test_a_system_of_fixed_speed_serves_what_fits_into_an_interval(guess):
    sut = SimulatedSut(ServiceCurve((1,), (2.0,)))  # 25 samples in 50 ms
    found = searched(sut, guess)
    assert streams_of(found.best_qps, INTERVAL_MS) in (24, 25)
    confirmed = found.probes[-1]
    assert confirmed.kind == "confirm"
    assert confirmed.outcome is Outcome.PASS
    assert found.run_lengths < 1.5


def test_the_tail_counts_and_not_the_mean():
    """One sample in 200 takes 30 ms more: few queries of few samples may have one."""
    slow = Fortune(stall_share=0.005, stall_ms=30, seed=3)
    sut = SimulatedSut(ServiceCurve((1,), (2.0,)), fortune=slow)
    found = searched(sut, 25)
    best = streams_of(found.best_qps, INTERVAL_MS)
    # Ten samples leave room for one stall; two of them need 11 or more samples to be rare enough.
    assert 8 <= best <= 13

    def share_late(streams):
        log = run(full(streams), NoSamples(), sut)
        return judge(log).valid

    assert share_late(best)
    assert not share_late(best + 3)
