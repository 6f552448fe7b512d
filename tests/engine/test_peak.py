"""What is known before the search, on systems in virtual time."""

from types import SimpleNamespace

import pytest

from engine.peak import DISTURBED, STEEPEST, TRIES, Limits, prior, service_curve, unloaded
from loadgen import Scenario, Settings, run
from loadgen.samples import NoSamples
from sut.curve import ServiceCurve
from sut.null import NullSut
from sut.simulated import SimulatedSut

BOUND_MS = 10.0


@pytest.fixture
def timed():
    """``timed(20.0, 3.0)``: what is found where the system takes 20 ms at first, and then 3."""

    def find(*service_ms):
        left = [SimulatedSut(ServiceCurve((1,), (ms,))) for ms in service_ms]

        def go(settings, name, watch):
            return run(settings, NoSamples(), left.pop(0), watch)

        return unloaded(
            Settings(Scenario.SERVER, target_qps=1.0, bound_ms=BOUND_MS), {"latency": BOUND_MS}, go
        ), len(service_ms) - len(left)

    return find


def test_an_idle_system_that_seems_slow_may_have_been_disturbed(timed):
    limits, times = timed(20.0, 15.0, 3.0, 99.0)
    assert (limits.unloaded_ms, limits.feasible, times) == (3.0, True, 3)


def test_one_that_stays_slow_is_too_slow_by_its_best(timed):
    limits, times = timed(21.0, 20.0, 22.0, 23.0, 1.0)
    assert (limits.unloaded_ms, limits.feasible, times) == (20.0, False, TRIES)


def test_one_that_is_far_too_slow_is_timed_once(timed):
    limits, times = timed(1.1 * DISTURBED * BOUND_MS, 1.0)
    assert (limits.feasible, times) == (False, 1)


def test_a_search_that_a_failing_system_ends_has_no_figure_of_another_scenario(engine):
    ended = engine("sut=simulated", "sut.fail_share=0.5")
    assert ended.code == 2
    metric = ended.record["performance"]["metric"]
    assert (metric["name"], metric["value"]) == ("server_qps", None)
    assert "The search ended with a run in which" in ended.record["message"]


def test_a_real_system_is_not_believed_to_keep_its_speed():
    """100 ms for services of 1 ms: by queueing alone the peak is a wall."""
    curve = ServiceCurve((1,), (1.0,))
    full = Settings(Scenario.SERVER, target_qps=1000.0, bound_ms=100.0)
    steep, real = (
        prior(SimpleNamespace(sut=sut), Limits(1.0, 100.0), curve, full)
        for sut in (SimulatedSut(curve), NullSut())
    )
    assert steep.slope > 2 * STEEPEST
    assert real.slope == STEEPEST
    assert real.guess_qps == steep.guess_qps


@pytest.mark.parametrize(
    ("workers", "most", "ceiling"), [(1, 4, 780.0), (2, 4, 1560.0), (4, 1, 790.0)]
)
def test_a_system_that_is_not_timed_batches_as_its_offline_throughput_says(workers, most, ceiling):
    """5 ms for a batch, whatever its size: the peak inside 50 ms is near the ceiling, not at the
    rate of single queries; and 5 ms for each of four workers."""
    curve = service_curve({}, 5.0, ceiling, workers, most)
    sut = SimpleNamespace(workers=workers, max_batch=most)
    full = Settings(Scenario.SERVER, target_qps=ceiling, bound_ms=50.0)
    found = prior(SimpleNamespace(sut=sut), Limits(5.0, 50.0), curve, full)
    assert 0.85 * ceiling < found.guess_qps <= 0.95 * ceiling


def test_a_full_batch_that_was_not_timed_takes_what_the_offline_throughput_says():
    """As with ``sut.max_batch=256``, where only a single query is timed."""
    curve = service_curve({1: 0.15}, 0.2, 115_700.0, 1, 256)
    assert (curve.batch, curve.service_ms) == ((1, 256), (0.15, pytest.approx(2.2126, rel=1e-4)))
    timed = {1: 1.0, 2: 1.5, 4: 2.0}
    assert service_curve(timed, 1.0, 1.0, 1, 2).service_ms == (1.0, 1.5, 2.0)
