"""The generators against the values that the C++ standard and NumPy give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from loadgen._rng import draws, draws_after, permutation


def test_the_ten_thousandth_draw_is_the_one_the_cpp_standard_gives():
    assert draws(5489, 10_000)[-1] == 4123659995


@given(st.integers(0, 2**64 - 1))
def test_engine_equals_numpys_for_the_lower_half_of_the_seed(seed):
    theirs = np.random.RandomState(seed % 2**32).randint(0, 2**32, 700, dtype=np.uint32)
    assert np.array_equal(draws(seed, 700), theirs)


@given(st.integers(0, 2**32 - 1), st.integers(0, 300))
def test_a_permutation_holds_each_number_once(seed, count):
    assert sorted(permutation(seed, count).tolist()) == list(range(count))


@pytest.mark.parametrize("count", [65_535, 65_536, 70_001])
def test_both_ways_of_shuffling_permute(count):
    shuffled = permutation(7, count)
    assert np.array_equal(np.sort(shuffled), np.arange(count))
    assert not np.array_equal(shuffled, np.arange(count))


def test_every_order_of_four_comes_equally_often():
    orders = [tuple(permutation(seed, 4)) for seed in range(24_000)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    # A chi-square of 23 degrees of freedom stays below 50 in 99.9 % of cases.
    assert ((counts - 1000) ** 2 / 1000).sum() < 50


@pytest.mark.parametrize("count", [0, 1, 2, 3, 16, 1023, 1024, 65_535, 65_536, 70_001])
def test_a_skipped_shuffle_draws_as_much_as_a_shuffle(count):
    for seed in range(20):
        assert draws_after(seed, count, True) == draws_after(seed, count, False)
