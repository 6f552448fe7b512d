"""A profile of systems whose service times are known."""

import dataclasses
import math

import numpy as np
import pytest

from loadgen import Ending, run
from loadgen.samples import NoSamples
from sut.capacity import peak_qps
from sut.curve import ServiceCurve
from sut.profile import profile, stretches_ms
from sut.simulated import Fortune, SimulatedSut
from sut.trace import Trace

CURVE = ServiceCurve((1, 8), (2.0, 5.5))


def one_percent(rate_qps):
    return 100_000, 0.01


def runs(**changes):
    """Runs of a simulated system, by batch limit."""

    def go(size, settings):
        return run(settings, NoSamples(), SimulatedSut(CURVE, max_batch=size, **changes))

    return go


def test_the_curve_of_a_known_system_is_found():
    found = profile((1, 2, 4, 8), runs(workers=3), workers=3, seconds=1)
    assert found.batch == (1, 2, 4, 8)
    assert found.service_ms == pytest.approx((2.0, 2.5, 3.5, 5.5))
    assert found.spread == pytest.approx(0, abs=1e-6)


def test_the_spread_is_that_of_single_batches():
    found = profile((1, 4), runs(fortune=Fortune(spread=0.3)), workers=1, seconds=10)
    assert found.spread == pytest.approx(0.3, rel=0.15)
    # The factor has mean 1, so its median lies lower.
    assert found.service_ms[0] == pytest.approx(2.0 * math.exp(-(0.3**2) / 2), rel=0.05)


@pytest.mark.parametrize("fortune", [Fortune(stall_share=0.1, stall_ms=10), Fortune(spread=0.5)])
def test_what_befalls_single_batches_is_in_the_predicted_peak(fortune):
    """A system with rare stalls, or a wide spread, and what is simulated from its profile."""

    def go(size, settings):
        return run(settings, NoSamples(), SimulatedSut(CURVE, max_batch=size, fortune=fortune))

    curve = profile((1, 2, 4, 8), go, workers=1, seconds=10)
    true = peak_qps(SimulatedSut(CURVE, max_batch=8, fortune=fortune), 30, one_percent)
    found = peak_qps(SimulatedSut(curve, max_batch=8), 30, one_percent)
    assert found == pytest.approx(true, rel=0.1)


def test_slow_times_that_last_are_in_the_predicted_peak():
    """A machine that swings by half within seconds; its batches in another order say too much."""
    fortune = Fortune(drift=0.5, drift_period_s=20)
    sut = SimulatedSut(CURVE, fortune=fortune)  # one machine, whose time goes on from run to run

    def go(size, settings):
        sut.max_batch = size
        return run(settings, NoSamples(), sut)

    curve = profile((1,), go, workers=1, seconds=60)
    trace = curve.trace
    times = np.concatenate([np.array(stretch) for stretch in trace.times_ms[0]])
    shuffled = np.random.default_rng(0).permutation(times).reshape(trace.rounds, -1)
    mixed = dataclasses.replace(
        curve, trace=dataclasses.replace(trace, times_ms=(tuple(map(tuple, shuffled.tolist())),))
    )
    true, found, independent = (
        peak_qps(system, 30, one_percent)
        for system in (sut, SimulatedSut(curve), SimulatedSut(mixed))
    )
    assert found == pytest.approx(true, rel=0.03)
    assert independent > 1.2 * true


def test_workers_are_slow_at_the_same_time_as_they_were():
    found = profile((1,), runs(workers=3, fortune=Fortune(spread=0.2)), workers=3, seconds=2)
    assert found.trace.lanes == 3
    assert len(found.trace.times_ms[0]) == 3 * found.trace.rounds


def test_batches_longer_than_the_limit_end_it():
    found = profile((1, 2, 4, 8, 16), runs(), workers=1, seconds=0.1, limit_ms=3)
    assert found.batch == (1, 2, 4)


def test_a_system_that_takes_smaller_batches_is_no_profile():
    log = runs()(2, _settings())
    assert log.ending is Ending.COMPLETE
    assert [len(lane) for lane in stretches_ms(log, 2, 1)] == [5]
    with pytest.raises(ValueError, match="no batch of 4"):
        stretches_ms(log, 4, 1)


def _settings():
    from sut.profile import _offline

    return _offline(10)


def test_a_profile_is_read_as_it_was_saved(tmp_path):
    curve = ServiceCurve((1, 2), (0.5, 0.7), 0.25, Trace((((0.5, 0.6),), ((0.7,),)), 1, 2.0))
    curve.save(tmp_path / "p.json")
    assert ServiceCurve.read(tmp_path / "p.json") == curve


def test_single_batches_of_a_curve_with_a_spread_differ():
    sut = SimulatedSut(ServiceCurve((1,), (1.0,), 0.4))
    log = run(_settings(), NoSamples(), sut)
    assert np.ptp(np.diff(log.completed_ns)) > 0
