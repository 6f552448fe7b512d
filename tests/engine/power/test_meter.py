"""Energy from counters: wrap-around, readings in between, and sources that are lost."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.power.meter import PowerMeter, used_uj

STEPS = st.lists(st.lists(st.integers(0, 999), min_size=2, max_size=2), min_size=1, max_size=30)


@given(STEPS, st.lists(st.integers(0, 999), min_size=2, max_size=2))
def test_energy_adds_up_however_often_the_counters_start_again(steps, first):
    wraps = np.array([1000, 0])
    total = np.cumsum([first, *steps], axis=0)
    counts = np.where(wraps > 0, total % np.maximum(wraps, 1), total)
    assert np.array_equal(used_uj(counts, wraps), steps)


class Source:
    """Two devices of 10 W and 5 W on a clock; the first counter starts again at ``wrap_uj``."""

    name, parts = "test", ("one", "two")

    def __init__(self, good_for=10**9, wrap_uj=2_000_000):
        self.reads, self.good_for = 0, good_for
        self.wraps_uj = np.array([wrap_uj, 0])

    def read_uj(self):
        self.reads += 1
        if self.reads > self.good_for:
            raise FileNotFoundError("energy_uj is gone")
        now = time.monotonic()
        return np.array([int(now * 10e6) % self.wraps_uj[0], int(now * 5e6)])


def test_power_is_that_of_the_devices_though_a_counter_started_again():
    energy = PowerMeter(Source(), period_s=0.05).over(0.6)  # 6 J: the first wraps three times
    assert energy.average_power_w == pytest.approx(15, rel=0.1)
    assert energy.energy_j == pytest.approx(15 * energy.duration_s, rel=0.1)
    assert energy.parts_j["one"] == pytest.approx(2 * energy.parts_j["two"], rel=0.1)
    assert sum(energy.parts_j.values()) == pytest.approx(energy.energy_j)
    assert (energy.error, energy.source) == (None, "test")
    assert energy.readings > 3 and energy.longest_read_ms > 0


def test_the_peak_is_of_a_stretch_long_enough_to_mean_something():
    assert PowerMeter(Source(), period_s=0.01).over(0.05).peak_power_w is None
    long = PowerMeter(Source(wrap_uj=10**9), period_s=9).over(0.6)
    assert long.peak_power_w == pytest.approx(15, rel=0.1)


@pytest.mark.parametrize("good_for", [0, 1, 2])
def test_a_source_that_is_lost_says_so_and_gives_no_figure(good_for):
    energy = PowerMeter(Source(good_for), period_s=0.02).over(0.1)
    assert energy.error == "FileNotFoundError: energy_uj is gone"
    assert energy.energy_j is energy.average_power_w is energy.parts_j is None


def test_each_start_begins_anew():
    meter = PowerMeter(Source(), period_s=9)
    meter.over(0.2)
    assert meter.over(0.05).duration_s < 0.2


def test_it_sleeps_between_its_readings():
    source = Source()
    PowerMeter(source).over(0.3)
    assert source.reads == 2
