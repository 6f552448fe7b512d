"""A profile of systems whose service times are known."""

import math

import numpy as np
import pytest

from loadgen import Ending, run
from loadgen.samples import NoSamples
from sut.capacity import peak_qps
from sut.curve import ServiceCurve
from sut.profile import profile, service_ns
from sut.simulated import Fortune, SimulatedSut

CURVE = ServiceCurve((1, 8), (2.0, 5.5))


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
    bound_ms, share = 30.0, 0.01
    true = peak_qps(SimulatedSut(CURVE, max_batch=8, fortune=fortune), bound_ms, share)
    found = peak_qps(SimulatedSut(curve, max_batch=8), bound_ms, share)
    assert found == pytest.approx(true, rel=0.1)


def test_batches_longer_than_the_limit_end_it():
    found = profile((1, 2, 4, 8, 16), runs(), workers=1, seconds=0.1, limit_ms=3)
    assert found.batch == (1, 2, 4)


def test_a_system_that_takes_smaller_batches_is_no_profile():
    log = runs()(2, _settings())
    assert log.ending is Ending.COMPLETE
    assert len(service_ns(log, 2)) == 5
    with pytest.raises(ValueError, match="no batch of 4"):
        service_ns(log, 4)


def _settings():
    from sut.profile import _offline

    return _offline(10)


def test_a_profile_is_read_as_it_was_saved(tmp_path):
    curve = ServiceCurve((1, 2), (0.5, 0.7), 0.25, ((0.9, 1.1), (1.0, 1.2)))
    curve.save(tmp_path / "p.json")
    assert ServiceCurve.read(tmp_path / "p.json") == curve


def test_single_batches_of_a_curve_with_a_spread_differ():
    sut = SimulatedSut(ServiceCurve((1,), (1.0,), 0.4))
    log = run(_settings(), NoSamples(), sut)
    assert np.ptp(np.diff(log.completed_ns)) > 0
