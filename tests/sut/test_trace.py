"""A measured system is slow when it was slow."""

import dataclasses

import numpy as np
import pytest

from loadgen import Scenario, Settings, run
from loadgen.samples import NoSamples
from sut.curve import ServiceCurve
from sut.simulated import SimulatedSut
from sut.trace import Trace, lanes

# Two rounds of 12 ms: batches of one in 2 ms and then in 4 ms, of three in 6 ms throughout.
TRACE = Trace((((2.0, 2.0, 2.0), (4.0,)), ((6.0,), (6.0,))), 1, 12.0)
CURVE = ServiceCurve((1, 3), (2.0, 6.0), 0.0, TRACE)


class First:
    """Draws no moment but the first."""

    def integers(self, low, high, count):
        return np.zeros(count, np.int64)


def served_ms(curve, size, count, workers=1):
    """int-like [count]: how long batches of a size take back to back from the first moment on."""
    sut = SimulatedSut(curve, max_batch=size, workers=workers)
    pace = curve.trace.pace(*clocks(curve, size), workers, First())
    sut._fleet = type(sut._fleet)(
        curve.service_ns(size), sut._chances, workers, 0, 0, 0.0, 1, None, None, pace
    )
    settings = Settings(
        scenario=Scenario.OFFLINE, target_qps=1.0, min_duration_ms=0, min_sample_count=size * count
    )
    log = run(settings, NoSamples(), sut)
    first = log.takes.first
    return (log.completed_ns[first] - log.takes.at_ns)[:count] / 1e6


def clocks(curve, size):
    pace = curve.pace(size, 1, np.random.default_rng(0))
    return pace.clock, pace.work


def test_batches_take_what_they_took_at_that_moment():
    times = served_ms(CURVE, 1, 18)
    round_trip = [2.0] * 6 + [4.0] * 3
    assert times == pytest.approx(round_trip * 2, abs=1e-5)


def test_a_batch_that_meets_another_moment_is_partly_slow():
    curve = dataclasses.replace(CURVE, service_ms=(3.0, 6.0))  # a median that no batch had
    assert served_ms(curve, 1, 6) == pytest.approx([2.0] * 6, abs=1e-5)
    between = served_ms(CURVE, 2, 4)  # goes by the clock of three, two thirds of the work
    assert between == pytest.approx([4.0] * 4, abs=1e-5)
    long = ServiceCurve((1,), (2.0,), 0.0, Trace(TRACE.times_ms[:1], 1, 12.0))
    # of ten batches' work, six are done at 2 ms each and three at 4 ms, then it goes round
    assert served_ms(long, 10, 1) == pytest.approx([26.0], abs=1e-5)


def test_lanes_are_replayed_side_by_side():
    trace = Trace((((2.0,), (4.0,), (8.0,), (8.0,)),), 2, 16.0)
    curve = ServiceCurve((1,), (2.0,), 0.0, trace)
    times = served_ms(curve, 1, 14, workers=2)
    assert sorted(set(np.round(times[:10], 3))) == [2.0, 8.0]
    assert 4.0 in np.round(times, 3)


def test_workers_are_told_apart_by_when_they_were_free():
    begins, ends = np.array([0, 0, 5, 7, 10]), np.array([5, 7, 10, 20, 12])
    assert [places.tolist() for places in lanes(begins, ends, 2)] == [[0, 2, 4], [1, 3]]


def test_the_slow_share_is_one_of_time():
    trace = Trace((((1.0,) * 8, (2.0,) * 2),), 1, 12.0)
    assert trace.slow_share() == pytest.approx(4 / 12)


def test_drawn_rounds_are_those_of_the_trace_at_once_for_all_sizes():
    trace = Trace(
        tuple(tuple((float(10 * size + number),) for number in range(1, 6)) for size in (1, 2)),
        1,
        30.0,
    )
    drawn = trace.resampled(np.random.default_rng(1))
    one, two = (np.array(size)[:, 0] for size in drawn.times_ms)
    assert len(one) == 5
    np.testing.assert_array_equal(two - one, 10)
    assert set(one) < set(range(11, 16))


@pytest.mark.parametrize(
    ("times", "lane_count", "round_ms"),
    [
        ((), 1, 1.0),
        ((((1.0,),), ()), 1, 1.0),
        ((((1.0,),),), 2, 1.0),
        ((((1.0, 0.0),),), 1, 1.0),
        ((((),),), 1, 1.0),
        ((((1.0,),),), 1, float("nan")),
    ],
)
def test_what_is_no_trace_is_refused(times, lane_count, round_ms):
    with pytest.raises(ValueError, match=r"trace|round_ms"):
        Trace(times, lane_count, round_ms)


def test_a_trace_of_other_sizes_is_refused():
    with pytest.raises(ValueError, match="of each of its batch sizes"):
        ServiceCurve((1,), (2.0,), 0.0, TRACE)
