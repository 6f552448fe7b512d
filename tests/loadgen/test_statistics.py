"""The rules' statistics against the paper's tables and plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from loadgen.statistics import (
    allowed_over,
    early_stopping_count,
    percentile,
    percentile_interval,
    required_queries,
    surely_over,
    upper_estimate,
)


@pytest.mark.parametrize(("percent", "queries"), [(90, 23_886), (95, 50_425), (99, 262_742)])
def test_table_iv_of_the_paper(percent, queries):
    assert required_queries(percent) == queries


@pytest.mark.parametrize(
    ("percent", "over", "queries"),
    [
        (90, 0, 44),
        (90, 1, 64),
        (90, 2, 81),
        (90, 10, 197),
        (90, 100, 1246),
        (95, 1, 130),
        (97, 1, 219),
        (99, 0, 459),
        (99, 1, 662),
        (99, 2, 838),
        (99, 3, 1001),
        (99, 10, 2010),
        (99, 100, 12_571),
        (99.9, 1, 6636),
    ],
)
def test_early_stopping_counts_are_the_official_ones(percent, over, queries):
    assert early_stopping_count(over, percent) == queries


@given(st.integers(0, 60), st.sampled_from([90.0, 95.0, 97.0, 99.0]))
def test_early_stopping_is_the_binomial_test(over, percent):
    """With the share over the bound just too high, so few would be seen in 1 % of runs."""
    queries = early_stopping_count(over, percent)
    share = 1 - percent / 100
    assert binom.cdf(over, queries, share) < 0.01 + 1e-12
    assert binom.cdf(over, queries - 1, share) >= 0.01 - 1e-12


@given(st.integers(1, 5000), st.sampled_from([90.0, 97.0, 99.0]))
def test_allowed_over_is_the_most_that_passes(queries, percent):
    most = allowed_over(queries, percent)
    assert most == -1 or early_stopping_count(most, percent) <= queries
    assert early_stopping_count(most + 1, percent) > queries


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.floats(0, 100))
def test_percentile_is_an_observed_value_with_enough_below_it(values, percent):
    ordered = np.sort(np.array(values, dtype=np.int64))
    found = percentile(ordered, percent)
    assert found in values
    assert (ordered <= found).sum() >= int(len(values) * percent / 100)


@pytest.mark.parametrize("percent", [50.0, 90.0, 99.0])
def test_the_interval_covers_the_true_percentile_as_often_as_it_says(percent):
    generator = np.random.default_rng(3)
    true, covered, rounds = -np.log(1 - percent / 100), 0, 400
    for _ in range(rounds):
        ordered = np.sort((generator.exponential(1, 2000) * 1e9).astype(np.int64))
        low, high = percentile_interval(ordered, percent)
        covered += low <= true * 1e9 <= high
    assert covered / rounds > 0.92


def test_too_few_values_have_no_interval():
    ordered = np.arange(300, dtype=np.int64)
    assert percentile_interval(ordered, 99.0) is None
    assert percentile_interval(ordered[:0], 50.0) is None
    assert percentile_interval(ordered, 50.0) is not None


def test_percentile_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no value"):
        percentile(np.empty(0, np.int64), 99)


@given(st.integers(1, 100), st.integers(1, 5000), st.sampled_from([90.0, 99.0]))
def test_surely_over_is_the_binomial_tail(over, queries, percent):
    tail = binom.sf(over - 1, queries, 1 - percent / 100)
    assert surely_over(over, queries, percent) == (over <= queries and tail < 1e-3)


def test_the_upper_estimate_leaves_as_many_above_as_early_stopping_allows():
    ordered = np.arange(64, dtype=np.int64)
    assert upper_estimate(ordered, 90, 0.99) == 63
    assert upper_estimate(ordered[:63], 90, 0.99) is None
    assert upper_estimate(np.arange(197, dtype=np.int64), 90, 0.99) == 187
