"""The bench's own parts: a truth that is true, and methods that find it."""

import pytest

from multirun.bench import methods, systems, truth
from multirun.bench.__main__ import row


@pytest.fixture
def short(monkeypatch):
    """Runs of 20 s, few of them."""
    import dataclasses

    monkeypatch.setattr(
        systems, "RULES", dataclasses.replace(systems.RULES, min_duration_ms=20_000.0)
    )
    monkeypatch.setattr(truth, "RUNS", 40)


def test_full_runs_pass_below_the_true_peak_and_not_above(short):
    make = systems.SYSTEMS["M/D/1"]
    true = truth.truth(make, 1000.0)
    assert 650 < true.peak_qps < 900
    assert true.pass_probability(true.peak_qps) == pytest.approx(0.5)
    seeds = range(10)
    assert sum(systems.passes(make(n), 0.92 * true.peak_qps, n) for n in seeds) >= 8
    assert sum(systems.passes(make(n), 1.06 * true.peak_qps, n) for n in seeds) <= 2


def test_both_methods_end_near_each_other(short):
    make = systems.SYSTEMS["batches"]
    ours, theirs = methods.searched(make, 1), methods.bisected(make, 1)
    assert ours.peak_qps == pytest.approx(theirs.peak_qps, rel=0.15)
    assert ours.run_lengths < theirs.run_lengths


def test_a_row_counts_what_is_near_and_affordable():
    true = truth.Truth(100.0, 500.0)
    answers = [
        methods.Answer(99.0, 2.0),
        methods.Answer(97.0, 2.0),
        methods.Answer(99.0, 3.0),
        methods.Answer(None, 9.0),
    ]
    assert "1 of 4" in row(true, answers)
    assert "-3.00%" in row(true, answers)
