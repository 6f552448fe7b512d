"""Answers of tokens: how many there are, and when simulated ones come."""

import numpy as np
import pytest

from loadgen import Scenario, Settings, judge, run
from loadgen.samples import NoSamples
from loadgen.tokens import token_latencies_ns
from sut.curve import ServiceCurve
from sut.null import NullSut
from sut.simulated import Fortune, SimulatedSut
from sut.tokens import longest, token_counts

COUNTS = (2, 5, 11)


def served(sut, **changes):
    base = {
        "scenario": Scenario.SERVER,
        "target_qps": 200.0,
        "use_token_latencies": True,
        "ttft_bound_ms": 100.0,
        "tpot_bound_ms": 10.0,
        "min_duration_ms": 0,
        "min_query_count": 2000,
        "late_ms": 500.0,
    }
    return run(Settings(**{**base, **changes}), NoSamples(), sut)


def speaking(**changes):
    base = {"workers": 3, "max_batch": 4, "answer_tokens": COUNTS}
    curves = ServiceCurve((1, 4), (4.0, 10.0)), ServiceCurve((1, 4), (1.0, 4.0))
    return SimulatedSut(curves[0], **{**base, "token_curve": curves[1], **changes})


def test_a_sample_has_the_same_number_each_time_and_all_numbers_are_as_likely():
    counts = token_counts(COUNTS, 3)
    assert counts.dtype == np.int32
    assert np.array_equal(counts, token_counts(COUNTS, 3))
    assert not np.array_equal(counts, token_counts(COUNTS, 4))
    shares = [(counts == count).mean() for count in COUNTS]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.01)


def test_the_longest_of_a_batch():
    drawn = np.random.default_rng(0).choice(COUNTS, (100_000, 4)).max(axis=1).mean()
    one, four = longest(COUNTS, np.array([1, 4]))
    assert one == pytest.approx(6)
    assert four == pytest.approx(drawn, rel=0.01)


def test_tokens_come_as_the_curves_say():
    log = served(speaking(network_ms=2.0))
    ttft_ns, tpot_ns = token_latencies_ns(log)
    assert len(ttft_ns) == len(tpot_ns) == 2000
    assert log.token_count.tolist() == token_counts(COUNTS)[log.sample_index].tolist()
    size = np.repeat(log.batch_sizes, log.batch_sizes)
    assert np.unique(size).tolist() == [1, 2, 3, 4]
    assert np.array_equal(tpot_ns, size * 1_000_000)
    assert np.array_equal(log.first_token_ns - log.taken_ns, (4 + (size - 1) * 2 + 2) * 1_000_000)


def test_a_worker_is_free_after_its_longest_answer():
    log = served(speaking(workers=1), target_qps=5000.0)
    ends = np.maximum.reduceat(log.completed_ns, log.takes.first)
    assert np.array_equal(log.takes.at_ns[1:], ends[:-1])  # overloaded, so it never waits


def test_chance_acts_on_all_tokens_of_a_batch():
    log = served(speaking(max_batch=1, fortune=Fortune(spread=0.3)))
    first_ns = log.first_token_ns - log.taken_ns
    _, tpot_ns = token_latencies_ns(log)
    assert len(np.unique(tpot_ns)) > 1000
    assert tpot_ns == pytest.approx(first_ns / 4, rel=1e-3)


def test_one_that_fails_or_loses_batches_says_nothing_of_them():
    log = served(speaking(fortune=Fortune(fail_share=0.1, lose_share=0.1)), sut_timeout_ms=1e6)
    assert len(log.failed) > 0 and len(log.lost) > 0
    assert (log.first_token_ns[log.failed] == -1).all()
    assert (log.first_token_ns[log.lost] == -1).all()
    assert (log.first_token_ns[log.done] >= 0).all()


def test_its_capacity_counts_all_tokens():
    sut = speaking(token_curve=ServiceCurve((1, 4), (1.0, 1.2)))
    offline = Settings(Scenario.OFFLINE, target_qps=1.0, min_duration_ms=0, min_sample_count=40_000)
    measured = judge(run(offline, NoSamples(), sut)).statistics.completed_samples_per_s
    assert sut.capacity_qps == pytest.approx(measured, rel=0.1)


def test_a_run_extends_itself_until_its_token_tests_have_decided():
    few = {"min_query_count": 300, "extend": True, "max_duration_ms": 60_000.0}
    rare = Fortune(stall_share=0.004, stall_ms=200.0)
    log = served(speaking(fortune=rare), target_qps=50.0, **few)
    assert 500 < len(log.answers) < 3000
    rows = {row.name: row.passed for row in judge(log).constraints}
    assert rows["early_stopping_ttft"] and rows["early_stopping_tpot"]


def test_the_null_system_tells_of_tokens_too():
    log = served(NullSut(answer_tokens=COUNTS, max_batch=8), target_qps=20_000.0)
    assert (log.first_token_ns <= log.completed_ns).all()
    assert log.token_count.tolist() == token_counts(COUNTS)[log.sample_index].tolist()
    assert {row.name: row for row in judge(log).constraints}["tokens"].passed
