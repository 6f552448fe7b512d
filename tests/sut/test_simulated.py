"""Simulated systems against queueing theory, and the core on a virtual clock."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from loadgen import Ending, Scenario, Settings, judge, run
from loadgen.samples import NoSamples
from sut.curve import ServiceCurve
from sut.simulated import Fortune, SimulatedSut

ONE_MS = ServiceCurve((1,), (1.0,))
SERVER = Settings(
    scenario=Scenario.SERVER, target_qps=800, bound_ms=10, min_duration_ms=100_000, schedule_seed=5
)


def server(sut, watch=None, **changes):
    return run(dataclasses.replace(SERVER, **changes), NoSamples(), sut, watch)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_the_mean_latency_is_that_of_pollaczek_and_khinchine(load):
    log = server(SimulatedSut(ONE_MS), target_qps=1000 * load, min_duration_ms=400_000)
    assert log.latency_ns.mean() / 1e6 == pytest.approx(1 + load / (2 * (1 - load)), rel=0.04)


def test_spread_lengthens_the_queue_as_theory_says():
    spread, load = 0.6, 0.6
    sut = SimulatedSut(ONE_MS, fortune=Fortune(spread=spread))
    log = server(sut, target_qps=1000 * load, min_duration_ms=600_000)
    second_moment = math.exp(spread**2)
    assert log.latency_ns.mean() / 1e6 == pytest.approx(
        1 + load * second_moment / (2 * (1 - load)), rel=0.05
    )


def test_many_idle_workers_answer_after_one_service():
    log = server(SimulatedSut(ONE_MS, workers=400, network_ms=0.5), target_qps=2000)
    assert set(log.latency_ns.tolist()) == {1_500_000}


def test_batches_fill_under_load_and_no_further_than_the_limit():
    curve = ServiceCurve((1, 11), (1.0, 2.0))
    log = server(SimulatedSut(curve, max_batch=8), target_qps=3000)
    sizes = log.batch_sizes
    assert sizes.max() == 8
    assert sizes.mean() > 3
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    service_ns = log.completed_ns[first] - log.taken_ns[first]
    np.testing.assert_array_equal(service_ns, (900_000 + 100_000 * sizes).astype(np.int64))


def test_a_batch_waits_to_fill_and_no_longer():
    sut = SimulatedSut(ServiceCurve((1,), (0.001,)), max_batch=1000, max_wait_us=5000)
    log = server(sut, target_qps=1000, min_duration_ms=5000)
    waited_ns = log.taken_ns - log.scheduled_ns
    assert waited_ns.max() == 5_000_000
    assert log.batch_sizes.mean() == pytest.approx(6, rel=0.1)


@limits(max_examples=25)
@given(
    workers=st.integers(1, 5),
    batch=st.integers(1, 7),
    wait_us=st.sampled_from([0, 300, 3000]),
    rate=st.floats(50, 5000),
    spread=st.sampled_from([0.0, 0.8]),
)
def test_no_worker_serves_two_batches_at_once_and_nothing_is_lost(
    workers, batch, wait_us, rate, spread
):
    sut = SimulatedSut(
        ServiceCurve((1, 8), (0.7, 1.4)),
        workers=workers,
        max_batch=batch,
        max_wait_us=wait_us,
        fortune=Fortune(spread=spread),
    )
    log = server(sut, target_qps=rate, min_duration_ms=300, min_query_count=20)
    assert log.ending is Ending.COMPLETE
    assert log.done.all()
    assert (log.taken_ns >= log.scheduled_ns).all()
    sizes = log.batch_sizes
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    begins, ends = log.taken_ns[first], log.completed_ns[first]
    busy = [int(((begins <= at) & (ends > at)).sum()) for at in begins]
    assert max(busy) <= workers
    assert (np.diff(log.taken_ns) >= 0).all()


def test_the_same_seed_gives_the_same_run_and_another_one_another():
    def latencies(seed):
        return server(SimulatedSut(ONE_MS, fortune=Fortune(spread=0.3, seed=seed))).latency_ns

    np.testing.assert_array_equal(latencies(1), latencies(1))
    assert (latencies(1) != latencies(2)).any()


def test_failures_and_losses_are_named():
    failing = server(SimulatedSut(ONE_MS, fortune=Fortune(fail_share=0.01)))
    assert len(failing.failed) == pytest.approx(0.01 * len(failing.scheduled_ns), rel=0.3)
    assert not judge(failing).valid
    silent = server(SimulatedSut(ONE_MS, fortune=Fortune(lose_share=1.0)), sut_timeout_ms=2000)
    assert silent.ending is Ending.SUT_TIMEOUT
    assert len(silent.lost)


def test_stalls_and_drift_slow_some_batches():
    stalls = server(SimulatedSut(ONE_MS, fortune=Fortune(stall_share=0.01, stall_ms=50)))
    assert (stalls.completed_ns - stalls.taken_ns == 51_000_000).mean() == pytest.approx(
        0.01, rel=0.3
    )
    sut = SimulatedSut(ONE_MS, fortune=Fortune(drift=0.5, drift_period_s=400))
    runs = [server(sut, target_qps=100) for _ in range(2)]
    first, second = (log.completed_ns - log.taken_ns for log in runs)
    assert first.max() == pytest.approx(1.5e6, rel=0.01)
    assert first[-1] > first[0]  # up during the first quarter of the period ...
    assert second[-1] < second[0]  # ... and on from there in the next run


def test_a_warm_up_leaves_the_system_idle():
    warm = server(SimulatedSut(ONE_MS), target_qps=2000, warmup_ms=500, min_duration_ms=100)
    cold = server(SimulatedSut(ONE_MS), target_qps=2000, min_duration_ms=100)
    assert len(warm.warmup.scheduled_ns) == pytest.approx(1000, rel=0.2)
    np.testing.assert_array_equal(warm.completed_ns, cold.completed_ns)


def test_a_watch_ends_a_virtual_run_early():
    log = server(SimulatedSut(ONE_MS), watch=lambda progress: progress.elapsed_s >= 3)
    assert log.ending is Ending.STOPPED
    assert log.completed_ns.max() <= 3_000_000_000


@pytest.mark.parametrize("allowed_ms", [3.0, 8.0, 20.0])
def test_a_run_extends_itself_on_the_virtual_clock(allowed_ms):
    sut = SimulatedSut(ONE_MS, fortune=Fortune(spread=0.5))
    short = {"target_qps": 700, "min_duration_ms": 3000, "bound_ms": allowed_ms, "percentile": 90}
    log = server(sut, **short, extend=True, max_duration_ms=30_000)
    assert log.ending is Ending.COMPLETE
    rows = {row.name: row for row in judge(log).constraints}
    decided = not rows["p90_latency"].passed or rows["early_stopping"].passed
    assert decided or log.scheduled_ns[-1] > 29_000_000_000


def test_closed_loops_follow_the_virtual_clock():
    log = run(
        Settings(scenario=Scenario.SINGLE_STREAM, min_duration_ms=2000),
        NoSamples(),
        SimulatedSut(ONE_MS),
    )
    assert len(log.scheduled_ns) == 2001
    np.testing.assert_array_equal(np.diff(log.scheduled_ns), 1_000_000)
    ticks = Settings(
        scenario=Scenario.MULTI_STREAM, samples_per_query=8, interval_ms=10, min_duration_ms=5000
    )
    slow = run(ticks, NoSamples(), SimulatedSut(ServiceCurve((1,), (2.0,))))
    np.testing.assert_array_equal(np.diff(slow.scheduled_ns), 20_000_000)  # one tick is skipped


def test_offline_takes_as_long_as_its_batches():
    settings = Settings(scenario=Scenario.OFFLINE, target_qps=1000, min_duration_ms=1000)
    log = run(settings, NoSamples(), SimulatedSut(ServiceCurve((10,), (5.0,)), max_batch=10))
    assert log.completed_ns.max() == len(log.sample_index) / 10 * 5_000_000


def test_a_quarter_of_a_million_queries_of_a_large_fleet():
    sut = SimulatedSut(ServiceCurve((1, 32), (2.0, 9.0)), workers=1000, max_batch=32)
    log = server(sut, target_qps=400_000, min_duration_ms=0, min_query_count=270_336)
    assert len(log.scheduled_ns) == 270_336
    assert judge(log).valid


def test_a_curve_goes_through_its_points_and_on(tmp_path):
    curve = ServiceCurve((2, 4), (1.0, 3.0))
    assert curve.service_ns(6).tolist() == [1e6, 1e6, 2e6, 3e6, 4e6, 5e6]
    assert ServiceCurve((1,), (2.0,)).service_ns(3).tolist() == [2e6, 4e6, 6e6]
    curve.save(tmp_path / "curve.json")
    assert ServiceCurve.read(tmp_path / "curve.json") == curve


@pytest.mark.parametrize(
    ("batch", "times"),
    [((), ()), ((1, 1), (1.0, 2.0)), ((2, 1), (1.0, 1.0)), ((1,), (0.0,)), ((1,), (1.0, 2.0))],
)
def test_what_is_no_curve_is_refused(batch, times):
    with pytest.raises(ValueError, match=r"curve|batch sizes|service times"):
        ServiceCurve(batch, times)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"batch": [1]}', '{"batch": 1, "service_ms": 2}', "\0"]
)
def test_a_damaged_curve_is_refused_with_its_name(tmp_path, text):
    path = tmp_path / "curve.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"curve\.json"):
        ServiceCurve.read(path)
