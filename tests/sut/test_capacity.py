"""The predicted peak against the asymptote of the M/D/1 queue."""

import math

import pytest
from scipy.optimize import brentq

from sut.capacity import late_share, predict
from sut.curve import ServiceCurve
from sut.simulated import SimulatedSut


def cramer_lundberg(load, services):
    """Share of M/D/1 arrivals that wait for more than ``services``: C exp(-y services)."""
    highest = math.log(1 / load) + 1
    while load * math.expm1(highest) < highest:
        highest += 1
    decay = brentq(lambda y: load * math.expm1(y) - y, math.log(1 / load), highest)
    return (1 - load) / (decay + load - 1) * math.exp(-decay * services)


@pytest.mark.parametrize("bound_ms", [6.0, 15.0, 40.0])
def test_the_peak_of_one_worker_is_that_of_theory(bound_ms):
    found = predict(SimulatedSut(ServiceCurve((1,), (1.0,))), bound_ms, 0.01)
    theory = brentq(lambda load: cramer_lundberg(load, bound_ms - 1) - 0.01, 0.1, 0.995)
    assert found.peak_qps / 1000 == pytest.approx(theory, rel=0.015)
    step = 0.01
    shares = [cramer_lundberg(theory * math.exp(s), bound_ms - 1) for s in (-step, step)]
    assert found.slope == pytest.approx(math.log(shares[1] / shares[0]) / (2 * step), rel=0.5)


def test_the_late_share_grows_with_the_rate():
    sut = SimulatedSut(ServiceCurve((1,), (1.0,)))
    shares = [late_share(sut, rate, 10) for rate in (500, 700, 800, 900, 1100)]
    assert shares == sorted(shares)
    assert shares[0] < 0.001
    assert shares[-1] > 0.9


def test_a_bound_below_the_service_time_has_no_peak():
    with pytest.raises(ValueError, match="one query takes 2 ms, the bound is 1 ms"):
        predict(SimulatedSut(ServiceCurve((1,), (2.0,))), 1.0, 0.01)
