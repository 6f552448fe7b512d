"""Ways for queries to arrive besides the Poisson process, and runs that extend themselves."""

import time

import numpy as np
import pytest

from loadgen import Arrivals, Ending, Settings, judge, run
from loadgen._traffic import generate
from loadgen.settings import Scenario
from loadgen.statistics import early_stopping_count, needed_queries


def arrivals_of(asked):
    return generate(asked, np.arange(8)).scheduled_ns


def test_constant_arrivals_are_evenly_spaced(settings):
    asked = settings(arrivals=Arrivals.CONSTANT, target_qps=400.0, min_duration_ms=1000)
    gaps_ns = np.diff(arrivals_of(asked))
    assert set(gaps_ns.tolist()) == {2_500_000}
    assert len(gaps_ns) == 400


def test_bursts_come_together_and_keep_the_rate(settings):
    asked = settings(
        arrivals=Arrivals.BURST, burst_size=10, target_qps=1000.0, min_query_count=50_000
    )
    times, sizes = np.unique(arrivals_of(asked), return_counts=True)
    assert set(sizes.tolist()) == {10}
    assert len(times) * 10 / (times[-1] / 1e9) == pytest.approx(1000, rel=0.05)


def test_a_trace_is_replayed_as_it_is(settings, library, null_sut):
    trace = (0, 10_000_000, 10_000_000, 55_000_000)
    asked = settings(arrivals=Arrivals.TRACE, trace_ns=trace, min_query_count=1)
    log = run(asked, library, null_sut)
    assert log.scheduled_ns.tolist() == list(trace)
    assert (log.taken_ns >= log.scheduled_ns).all()


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"arrivals": Arrivals.TRACE}, "trace_ns goes with arrivals=trace"),
        ({"trace_ns": (0, 1)}, "trace_ns goes with arrivals=trace"),
        ({"arrivals": Arrivals.TRACE, "trace_ns": (5, 1)}, "must ascend"),
        ({"arrivals": Arrivals.TRACE, "trace_ns": ()}, "must ascend"),
        ({"burst_size": 0}, "burst_size"),
        ({"interval_ms": 50.0}, "only multi_stream has an interval"),
        ({"extend": True}, "extend needs max_duration_ms"),
        ({"extend": True, "max_duration_ms": 1000, "confidence": None}, "extend needs confidence"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, word):
    base = {"scenario": Scenario.SERVER, "target_qps": 10.0, "bound_ms": 10.0}
    with pytest.raises(ValueError, match=word):
        Settings(**{**base, "min_duration_ms": 100, **changes})


def test_only_server_queries_arrive_by_themselves():
    with pytest.raises(ValueError, match="only server"):
        Settings(scenario=Scenario.SINGLE_STREAM, arrivals=Arrivals.CONSTANT)


class TestInterval:
    """v0.5 multi-stream: a fixed interval, and whole intervals are skipped (paper, III-C)."""

    def asked(self, settings, **changes):
        base = {"interval_ms": 20.0, "min_query_count": 10, "min_duration_ms": 0}
        return settings("multi_stream", **{**base, **changes})

    def test_queries_come_on_the_grid(self, settings, library, scripted_sut):
        log = run(self.asked(settings), library, scripted_sut(max_batch=4))
        assert set((np.diff(log.scheduled_ns)).tolist()) == {20_000_000}
        verdict = judge(log)
        assert verdict.valid, verdict.missed
        assert (verdict.metric.name, verdict.metric.value) == ("streams", 4)

    def test_a_slow_query_skips_whole_intervals_and_delays_the_rest(
        self, settings, library, scripted_sut
    ):
        def slow_once(batch):
            if batch.ids[0] == 8:  # the third query
                time.sleep(0.05)
            batch.complete(batch.indices)

        log = run(self.asked(settings), library, scripted_sut(answer=slow_once, max_batch=4))
        taken = np.ceil(log.latency_ns / 20e6)  # intervals; by others too if the machine stalls
        assert (np.diff(log.scheduled_ns) == 20_000_000 * taken[:-1]).all()
        assert log.latency_ns[2] >= 50_000_000
        (missed,) = [row for row in judge(log).missed if row.name == "skipped_intervals"]
        assert missed.measured == f"{np.count_nonzero(taken > 1)} of 10"

    def test_one_percent_of_queries_may_skip(self, settings, library, scripted_sut):
        def slow_once(batch):
            if batch.ids[0] == 8:
                time.sleep(0.015)
            batch.complete(batch.indices)

        asked = self.asked(settings, interval_ms=10.0, min_query_count=200)
        log = run(asked, library, scripted_sut(answer=slow_once, max_batch=4))
        rows = {row.name: row for row in judge(log).constraints}
        skipping = int((log.latency_ns > 10_000_000).sum())
        assert skipping >= 1
        assert rows["skipped_intervals"].passed == (skipping <= 2)


class TestExtension:
    def asked(self, settings, **changes):
        base = {
            "target_qps": 4000.0,
            "bound_ms": 20.0,
            "confidence": 0.99,
            "extend": True,
            "min_duration_ms": 50,
            "min_query_count": 200,
            "max_duration_ms": 5000,
        }
        return settings("server", **{**base, **changes})

    def test_a_run_goes_on_until_early_stopping_has_decided(self, settings, library, null_sut):
        log = run(self.asked(settings), library, null_sut)
        over = int((log.latency_ns > 20_000_000).sum())
        assert log.ending is Ending.COMPLETE
        assert len(log.latency_ns) >= early_stopping_count(over, 99.0)
        assert len(log.latency_ns) < 4000
        assert judge(log).valid

    def test_a_run_that_has_enough_ends_as_planned(self, settings, library, null_sut):
        asked = self.asked(settings, min_query_count=3000)
        assert len(run(asked, library, null_sut).latency_ns) == 3000

    def test_it_ends_at_the_longest_duration(self, settings, library, null_sut):
        asked = self.asked(settings, target_qps=500.0, min_query_count=20, max_duration_ms=300)
        log = run(asked, library, null_sut)
        assert log.ending is Ending.COMPLETE
        assert 100 < len(log.latency_ns) < 250
        assert "early_stopping" in {row.name for row in judge(log).missed}

    def test_a_hopeless_run_is_not_prolonged(self, settings, library, scripted_sut):
        def late(batch):
            time.sleep(0.03)
            batch.complete(batch.indices)

        asked = self.asked(settings, max_duration_ms=60_000)
        log = run(asked, library, scripted_sut(answer=late, max_batch=1000))
        assert len(log.latency_ns) == 200
        assert not judge(log).valid

    def test_a_closed_loop_has_as_many_queries_as_the_test_needs(self, settings, library, null_sut):
        asked = settings(
            "multi_stream",
            extend=True,
            confidence=0.99,
            min_duration_ms=0,
            min_query_count=1,
            max_duration_ms=20_000,
        )
        log = run(asked, library, null_sut)
        assert len(log.latency_ns) == 662
        assert judge(log).valid

    def test_the_traffic_of_a_longer_run_begins_with_that_of_the_shorter(self, settings):
        short = generate(self.asked(settings, extend=False), np.arange(64))
        long = generate(self.asked(settings), np.arange(64))
        assert long.least_queries == len(short.scheduled_ns)
        same = slice(0, long.least_queries)
        assert np.array_equal(long.scheduled_ns[same], short.scheduled_ns)
        assert np.array_equal(long.sample_index[same], short.sample_index)

    def test_needed_queries(self, settings):
        asked = self.asked(settings)
        assert needed_queries(asked, 700, over=1, at_most_over=1) == 700
        assert needed_queries(asked, 500, over=1, at_most_over=1) == 662
        assert needed_queries(asked, 662, over=1, at_most_over=2) == 838
        assert needed_queries(asked, 500, over=6, at_most_over=6) == 500
