"""Whole runs: what a good system gets, and what becomes of one that misbehaves."""

import os
import subprocess
import threading
import time

import numpy as np
import pytest

from loadgen import Ending, Mode, judge, run

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("workers", [1, 3])
def test_a_good_system_is_valid_in_every_scenario(
    scenario, workers, settings, library, scripted_sut
):
    asked = settings(scenario, min_duration_ms=0 if scenario == "offline" else 100)
    sut = scripted_sut(workers=workers, max_batch=4)
    log = run(asked, library, sut)
    verdict = judge(log)
    assert verdict.valid, verdict.missed
    assert log.ending is Ending.COMPLETE
    assert sut.loaded == 0
    assert len(log.latency_ns) == len(log.scheduled_ns) >= (1 if scenario == "offline" else 50)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_accuracy_run_covers_every_set(scenario, settings, library_of, scripted_sut):

    library = library_of(total_count=50, performance_count=16)
    log = run(settings(scenario, mode=Mode.ACCURACY), library, scripted_sut(max_batch=3))
    answers = {int(i): int(r) for i, r in zip(log.sample_index, log.responses, strict=True)}
    assert answers == {i: i for i in range(50)}
    assert len(library.loads) == 4
    assert judge(log).valid


def test_a_performance_run_keeps_the_sampled_responses(settings, library, scripted_sut):
    asked = settings(target_qps=5000.0, accuracy_log_probability=0.2)
    log = run(asked, library, scripted_sut(max_batch=8))
    kept = [i for i, response in enumerate(log.responses) if response is not None]
    assert 0.1 < len(kept) / len(log.responses) < 0.3
    assert all(int(log.responses[i]) == log.sample_index[i] for i in kept)
    assert judge(log).valid


def test_latency_counts_from_the_scheduled_time(settings, library, stalling_sut):
    """A stall of 200 ms delays some 200 queries, though only one was being worked on."""
    log = run(settings(target_qps=1000.0, min_duration_ms=500), library, stalling_sut(50, 0.2))
    slow = (log.latency_ns > 20_000_000).sum()
    assert slow > 100
    assert not judge(log).valid


def test_a_system_that_raises_ends_the_run_with_its_traceback(settings, library, failing_sut):
    log = run(settings(min_duration_ms=5000), library, failing_sut)
    assert log.ending is Ending.SUT_ERROR
    assert "RuntimeError: the accelerator is on fire" in log.error
    verdict = judge(log)
    assert not verdict.valid
    assert "ending" in {row.name for row in verdict.missed}


def test_a_system_that_cannot_load_ends_the_run_with_its_traceback(settings, library, null_sut):
    def refuse(samples):
        raise MemoryError("64 GiB wanted")

    null_sut.load = refuse
    log = run(settings(), library, null_sut)
    assert log.ending is Ending.SUT_ERROR
    assert "64 GiB wanted" in log.error
    assert not judge(log).valid


def test_failed_samples_make_the_run_invalid_and_are_named(settings, library, scripted_sut):
    def sometimes(batch):
        if batch.ids[0] == 7:
            batch.fail(RuntimeError("lost packet"))
        else:
            batch.complete(batch.indices)

    verdict = judge(log := run(settings(), library, scripted_sut(answer=sometimes)))
    assert log.ending is Ending.COMPLETE
    assert log.failed.tolist() == [7]
    assert "lost packet" in log.error
    (missed,) = verdict.missed
    assert missed.name == "answers"
    assert missed.measured == "1 failed"
    assert "7" in missed.hint


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_lost_answer_is_found_and_named(scenario, settings, library, scripted_sut):
    def forget(batch):
        if batch.ids[0] != 8:
            batch.complete(batch.indices)

    asked = settings(scenario, sut_timeout_ms=300.0, min_sample_count=50)
    began = time.monotonic()
    log = run(asked, library, scripted_sut(answer=forget))
    assert log.ending is Ending.SUT_TIMEOUT
    assert log.lost.tolist() == [8]
    assert not judge(log).valid
    assert time.monotonic() - began < 20


def test_a_repeated_answer_makes_the_run_invalid(settings, library, scripted_sut):
    def twice(batch):
        batch.complete(batch.indices)
        if batch.ids[0] == 3:
            batch.complete(batch.indices)

    verdict = judge(run(settings(), library, scripted_sut(answer=twice)))
    assert [row.measured for row in verdict.missed] == ["1 repeated"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_invented_answer_makes_the_run_invalid(scenario, settings, library, scripted_sut):
    def invent(batch):
        if batch.ids[0] == 0:
            batch.queries.complete([-7, 10**12])
        batch.complete(batch.indices)

    asked = settings(scenario, min_duration_ms=0)
    verdict = judge(run(asked, library, scripted_sut(answer=invent)))
    assert [row.measured for row in verdict.missed if row.name == "answers"] == ["2 unknown"]


def late_system(scripted_sut, then):
    class Late(scripted_sut):
        def serve(self, queries, worker):
            super().serve(queries, worker)
            then(queries)

    return Late(max_batch=8)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_answer_after_the_end_makes_the_run_invalid(scenario, settings, library, scripted_sut):
    def again(queries):
        while not queries.counts["after_end"]:
            queries.complete([0])

    log = run(settings(scenario, min_duration_ms=0), library, late_system(scripted_sut, again))
    assert log.ending is Ending.COMPLETE
    (missed,) = (row for row in judge(log).missed if row.name == "answers")
    assert "1 after the end" in missed.measured
    assert (log.completed_ns >= 0).all()


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_system_that_raises_after_its_last_answer_is_found(
    scenario, settings, library, scripted_sut
):
    def fail(queries):
        raise OSError("the device cannot be closed")

    log = run(settings(scenario, min_duration_ms=0), library, late_system(scripted_sut, fail))
    assert log.ending is Ending.SUT_ERROR
    assert "the device cannot be closed" in log.error
    assert not judge(log).valid


def test_a_system_that_hangs_is_left_behind(settings, library, scripted_sut):
    release = threading.Event()
    asked = settings(sut_timeout_ms=200.0)
    log = run(asked, library, scripted_sut(answer=lambda batch: release.wait(30)))
    release.set()
    assert log.ending is Ending.SUT_TIMEOUT


@pytest.mark.parametrize("scenario", ["single_stream", "server"])
def test_a_system_that_stops_taking_is_found(scenario, settings, library, scripted_sut):
    release = threading.Event()

    class StopsTaking(scripted_sut):
        def serve(self, queries, worker):
            for _ in range(3):
                batch = queries.take()
                batch.complete(batch.indices)
            release.wait(30)

    log = run(settings(scenario, sut_timeout_ms=300.0), library, StopsTaking())
    release.set()
    assert log.ending is Ending.SUT_TIMEOUT


@pytest.mark.parametrize("scenario", ["single_stream", "server"])
def test_a_system_that_returns_early_is_found(scenario, settings, library, scripted_sut):
    class ReturnsEarly(scripted_sut):
        def serve(self, queries, worker):
            batch = queries.take()
            batch.complete(batch.indices)

    log = run(settings(scenario), library, ReturnsEarly())
    assert log.ending is Ending.SUT_ERROR
    assert "returned before the run was over" in log.error


def test_a_second_ctrl_c_ends_the_waiting_and_keeps_the_log(
    settings, library, scripted_sut, press_ctrl_c
):
    def interrupt(progress):
        if progress.issued > 2:
            press_ctrl_c(0.3)
            raise KeyboardInterrupt

    sut = scripted_sut(answer=lambda batch: time.sleep(2.5), workers=3)
    began = time.monotonic()
    log = run(settings(), library, sut, interrupt)
    assert log.ending is Ending.INTERRUPTED
    assert time.monotonic() - began < 2.4


def test_a_stall_of_the_machine_makes_the_run_invalid(settings, library, null_sut):
    """The whole process stands still, as it does while a hypervisor runs somebody else."""
    stalls = []

    def stall(progress):
        if not stalls:
            standing_still = f"kill -STOP {os.getpid()}; sleep 0.1; kill -CONT {os.getpid()}"
            stalls.append(subprocess.Popen(["sh", "-c", standing_still]))

    asked = settings(target_qps=100.0, min_duration_ms=500, late_ms=40.0)
    verdict = judge(log := run(asked, library, null_sut, stall))
    stalls[0].wait()
    assert log.latency_ns.max() > 80_000_000
    (missed,) = (row for row in verdict.missed if row.name == "punctual_generator")
    assert verdict.statistics.late_count >= 1
    assert f"({verdict.statistics.late_count} of " in missed.measured


def test_no_query_comes_after_the_longest_duration(settings, library, null_sut):
    asked = settings(target_qps=1000.0, max_duration_ms=200, min_query_count=1000)
    log = run(asked, library, null_sut)
    assert 100 < len(log.scheduled_ns) < 300
    assert "min_queries" in {row.name for row in judge(log).missed}


@pytest.mark.parametrize("scenario", ["single_stream", "multi_stream", "server"])
def test_a_run_of_just_one_duration_is_long_enough(scenario, settings, library, null_sut):
    """As in the official LoadGen, the first query at or after the limit is the last."""
    asked = settings(scenario, min_duration_ms=60, max_duration_ms=60, min_query_count=1)
    log = run(asked, library, null_sut)
    assert "min_duration" not in {row.name for row in judge(log).missed}
    assert log.scheduled_ns[-1] >= 60_000_000 > log.scheduled_ns[-2]


def test_a_pause_in_the_schedule_is_not_silence(settings, library, null_sut):
    asked = settings(target_qps=4.0, min_query_count=4, min_duration_ms=0, sut_timeout_ms=150.0)
    assert run(asked, library, null_sut).ending is Ending.COMPLETE


def test_ctrl_c_keeps_what_was_measured(settings, library, null_sut):
    def interrupt(progress):
        if progress.completed > 20:
            raise KeyboardInterrupt

    log = run(settings(min_duration_ms=20_000), library, null_sut, interrupt)
    assert log.ending is Ending.INTERRUPTED
    assert log.done.sum() > 20
    assert "answers" not in {row.name for row in judge(log).missed}
    assert not judge(log).valid


def test_a_watch_can_end_the_run(settings, library, null_sut):
    log = run(settings(min_duration_ms=20_000), library, null_sut, lambda p: p.completed > 20)
    assert log.ending is Ending.STOPPED
    assert not judge(log).valid


def test_the_heap_is_frozen_only_while_the_run_is_timed(settings, library, null_sut):
    import gc

    frozen = []
    asked = settings(min_duration_ms=300)
    run(asked, library, null_sut, lambda progress: frozen.append(gc.get_freeze_count()))
    assert min(frozen) > 1000
    assert gc.get_freeze_count() == 0


def test_progress_adds_up(settings, library, null_sut):
    seen = []
    run(settings(min_duration_ms=400), library, null_sut, lambda p: seen.append(p))
    assert len(seen) >= 2
    for progress in seen:
        assert 0 <= progress.completed <= progress.issued + progress.waiting <= progress.total
    assert seen[-1].recent_percentile_ms() > 0


def test_figures_can_be_recomputed_from_the_arrays(settings, library, scripted_sut):
    def slow(batch):
        time.sleep(0.001)
        batch.complete(batch.indices)

    log = run(settings(target_qps=300.0), library, scripted_sut(answer=slow))
    latency_ms = np.sort(log.completed_ns - log.scheduled_ns) / 1e6
    statistics = judge(log).statistics
    assert statistics.latency_ms["p99"] == latency_ms[int(len(latency_ms) * 0.99)]
    assert statistics.latency_ms["max"] == latency_ms[-1]
    assert statistics.latency_ms["mean"] == pytest.approx(latency_ms.mean())
    assert statistics.completed_samples_per_s == pytest.approx(
        len(latency_ms) / (log.completed_ns.max() / 1e9)
    )
    assert statistics.over_bound_count == (latency_ms > 50).sum()


def test_drift_shows_between_the_thirds(settings, library, scripted_sut):
    def slower_and_slower(batch):
        time.sleep(0.0002 + batch.ids[0] * 2e-5)
        batch.complete(batch.indices)

    asked = settings("single_stream", min_query_count=200, max_query_count=200)
    statistics = judge(run(asked, library, scripted_sut(answer=slower_and_slower))).statistics
    first, second, last = statistics.latency_thirds_ms["p50"]
    assert first < second < last
    assert last - first > 1.5


def test_any_percentile_can_be_judged(settings, library, null_sut):
    verdict = judge(run(settings(percentile=98.0), library, null_sut))
    assert verdict.valid, verdict.missed
    assert "p98_latency" in {row.name for row in verdict.constraints}


def test_a_failure_in_an_early_set_keeps_its_traceback(settings, library_of, scripted_sut):
    failed = []

    def first_fails(batch):
        if not failed:
            failed.append(batch.fail(RuntimeError("only once")))
        else:
            batch.complete(batch.indices)

    library = library_of(total_count=32, performance_count=16)
    log = run(settings(mode=Mode.ACCURACY), library, scripted_sut(answer=first_fails))
    assert "only once" in log.error
    assert not judge(log).valid


def test_multi_stream_latency_is_that_of_the_querys_last_sample(settings, library, scripted_sut):
    def one_by_one(batch):
        for sample in batch.ids:
            time.sleep(0.0005)
            batch.queries.complete([sample])

    asked = settings("multi_stream", min_query_count=20, min_duration_ms=0)
    log = run(asked, library, scripted_sut(answer=one_by_one, max_batch=4))
    ends = log.completed_ns.reshape(-1, 4).max(axis=1)
    assert np.array_equal(log.latency_ns, ends - log.scheduled_ns)
    assert log.latency_ns.min() > 4 * 500_000


def test_batch_sizes_are_those_that_were_taken(settings, library, scripted_sut):
    sizes = []

    def note(batch):
        sizes.append(len(batch))
        batch.complete(batch.indices)

    asked = settings("offline", min_sample_count=100, target_qps=1, min_duration_ms=0)
    log = run(asked, library, scripted_sut(answer=note, max_batch=32))
    assert log.batch_sizes.tolist() == sizes == [32, 32, 32, 4]
