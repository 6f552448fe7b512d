"""Warm-up: the same kind of traffic before the timed part, recorded and not counted."""

import threading
import time

import numpy as np
import pytest

from loadgen import Arrivals, Ending, Issue, Mode, judge, run

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_warm_up_comes_first_and_is_not_counted(scenario, settings, library, scripted_sut):
    seen = []

    def note(batch):
        seen.append(len(batch))
        batch.complete(batch.indices)

    asked = settings(scenario, warmup_ms=60.0, min_duration_ms=0, min_sample_count=50)
    log = run(asked, library, scripted_sut(answer=note, max_batch=4))
    warmup = log.warmup
    assert warmup.ending is log.ending is Ending.COMPLETE
    assert warmup.done.all() and len(warmup.status) > 0
    assert sum(seen) == len(warmup.status) + len(log.status)
    assert judge(log).statistics.sample_count == len(log.status)
    assert judge(log).valid, judge(log).missed


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_timed_traffic_is_the_same_with_and_without(scenario, settings, library, null_sut):
    fixed = {"min_duration_ms": 0, "min_sample_count": 60}
    if scenario != "offline":
        fixed["max_query_count"] = 60
    if scenario == "multi_stream":
        fixed["interval_ms"] = 1.0
    cold = run(settings(scenario, **fixed), library, null_sut)
    warm = run(settings(scenario, warmup_ms=40.0, **fixed), library, null_sut)
    assert cold.warmup is None
    assert np.array_equal(cold.sample_index, warm.sample_index)
    if scenario in ("server", "offline"):
        assert np.array_equal(cold.scheduled_ns, warm.scheduled_ns)


def test_the_warm_up_draws_from_its_own_seeds(settings, library, null_sut):
    log = run(settings(warmup_ms=100.0, schedule_seed=7, sample_index_seed=9), library, null_sut)
    both = slice(0, min(len(log.sample_index), len(log.warmup.sample_index)))
    assert not np.array_equal(log.sample_index[both], log.warmup.sample_index[both])
    assert not np.array_equal(log.scheduled_ns[both], log.warmup.scheduled_ns[both])
    assert set(log.warmup.sample_index) <= set(range(library.total_count))


@pytest.mark.parametrize(
    "shape",
    [
        {"arrivals": Arrivals.CONSTANT},
        {"arrivals": Arrivals.BURST, "burst_size": 5},
        {"arrivals": Arrivals.TRACE, "trace_ns": tuple(range(0, 200_000_000, 1_000_000))},
    ],
    ids=lambda shape: str(shape["arrivals"]),
)
def test_arrivals_keep_their_shape_and_the_wanted_length(shape, settings, library, null_sut):
    log = run(settings(warmup_ms=50.0, confidence=None, **shape), library, null_sut)
    times = log.warmup.scheduled_ns
    assert times[times < times[-1]].max() < 50e6  # one arrival more ends it
    assert 20 < len(times) < len(log.scheduled_ns)
    if shape["arrivals"] is Arrivals.BURST:
        assert (np.diff(times[:5]) == 0).all()
    else:
        assert np.array_equal(times, log.scheduled_ns[: len(times)])


@pytest.mark.parametrize("issue", [Issue.UNIQUE, Issue.EQUAL])
def test_rules_that_fix_the_count_do_not_lengthen_it(issue, settings, library_of, null_sut):
    library = library_of(total_count=500, performance_count=500)
    log = run(settings(warmup_ms=50.0, issue=issue, target_qps=1000.0), library, null_sut)
    assert len(log.warmup.status) < 200 < len(log.status)


def test_a_same_issue_warms_up_with_that_sample(settings, library, null_sut):
    log = run(settings(warmup_ms=20.0, issue=Issue.SAME, same_index=3), library, null_sut)
    assert set(log.warmup.sample_index) == set(log.sample_index)


def test_a_system_that_raises_while_it_warms_up_ends_the_run(settings, library, failing_sut):
    log = run(settings(warmup_ms=5000.0), library, failing_sut)
    assert log.ending is log.warmup.ending is Ending.SUT_ERROR
    assert len(log.status) == 0
    assert "warm-up" in log.error
    assert "on fire" in log.error
    assert not judge(log).valid


def test_a_sample_given_up_while_it_warms_up_ends_the_run(settings, library, scripted_sut):
    def sometimes(batch):
        if batch.ids[0] == 7:
            batch.fail(RuntimeError("lost packet"))
        else:
            batch.complete(batch.indices)

    log = run(settings(warmup_ms=100.0), library, scripted_sut(answer=sometimes))
    assert log.ending is Ending.SUT_ERROR
    assert len(log.status) == 0
    assert "lost packet" in log.error


def test_a_system_that_falls_silent_while_it_warms_up_is_found(settings, library, scripted_sut):
    release = threading.Event()
    sut = scripted_sut(answer=lambda batch: release.wait(30))
    log = run(settings(warmup_ms=100.0, sut_timeout_ms=200.0), library, sut)
    release.set()
    assert log.ending is log.warmup.ending is Ending.SUT_TIMEOUT
    assert len(log.status) == 0


def test_ctrl_c_while_it_warms_up(settings, library, scripted_sut):
    import os
    import signal

    began, presses = time.monotonic(), iter([signal.SIGINT])

    def press_once(batch):
        batch.complete(batch.indices)
        for press in presses:
            os.kill(os.getpid(), press)

    log = run(settings(warmup_ms=20_000.0), library, scripted_sut(answer=press_once))
    assert log.ending is log.warmup.ending is Ending.INTERRUPTED
    assert time.monotonic() - began < 10


def test_a_watch_sees_only_the_timed_part(settings, library, null_sut):
    seen = []
    asked = settings(warmup_ms=400.0, min_duration_ms=300)
    run(asked, library, null_sut, lambda progress: seen.append(progress.settings))
    assert set(seen) == {asked}


def test_it_goes_with_performance_runs_only(settings):
    with pytest.raises(ValueError, match="warmup_ms=100"):
        settings(warmup_ms=100.0, mode=Mode.ACCURACY)
    with pytest.raises(ValueError, match="warmup_ms"):
        settings(warmup_ms=-1.0)
