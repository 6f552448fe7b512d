"""Systems that raise, lose, repeat or invent answers, Ctrl-C, and settings that are refused."""

import gc
import os
import signal
import sys
import threading
import time

import pytest

from loadgen import Ending, mlperf
from loadgen.mlperf import caller

SCENARIOS = tuple(mlperf.TestScenario.__members__)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_callback_that_raises_ends_the_test_with_its_traceback(scenario, harness, missed, caplog):
    program = harness()

    def fail(samples):
        if len(program.issued) == 1:
            raise RuntimeError("the accelerator is on fire")
        program.respond(samples)

    program.answer = fail
    (outcome,) = program.run(scenario, min_duration_ms=5000)
    assert outcome.log.ending is Ending.SUT_ERROR
    assert "the accelerator is on fire" in outcome.log.error
    assert "in fail" in outcome.log.error
    assert "ending" in missed(outcome)
    assert "the accelerator is on fire" in caplog.text
    assert program.calls[-1][0] == "unload"


def test_a_flush_that_raises_ends_the_test(harness, monkeypatch):
    program = harness()
    sut = mlperf.ConstructSUT(program.issue, lambda: 1 / 0)
    program.answer = lambda samples: None
    qsl = mlperf.ConstructQSL(8, 8, lambda indices: None, lambda indices: None)
    log = mlperf.LogSettings()
    log.log_output.outdir = program.folder
    mlperf.StartTestWithLogSettings(sut, qsl, program.settings("Offline"), log)
    assert "ZeroDivisionError" in mlperf.outcomes()[0].log.error


def test_a_library_that_cannot_load_raises_its_own_error(harness):
    program = harness()

    def refuse(indices):
        raise MemoryError("64 GiB wanted")

    sut = mlperf.ConstructSUT(program.issue, lambda: None)
    qsl = mlperf.ConstructQSL(8, 8, refuse, lambda indices: None)
    with pytest.raises(MemoryError, match="64 GiB wanted"):
        mlperf.StartTest(sut, qsl, program.settings("Offline"))
    assert harness().run("Offline")[0].log.ending is Ending.COMPLETE


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("mode", ["PerformanceOnly", "AccuracyOnly"])
def test_a_lost_answer_ends_the_test_and_is_named(scenario, mode, harness, missed):
    program = harness()
    forgotten = []

    def forget(samples):
        if not forgotten and len(program.issued) >= (1 if len(samples) > 8 else 5):
            forgotten.append(samples[0].id)
            samples = samples[1:]
        program.respond(samples)

    program.answer = forget
    began = time.monotonic()
    (outcome,) = program.run(scenario, mode, sut_timeout_ms=300, min_duration_ms=0)
    assert time.monotonic() - began < 10
    assert outcome.log.ending is Ending.SUT_TIMEOUT
    assert len(outcome.log.lost) == 1
    assert missed(outcome) >= {"ending", "answers"}


def test_a_callback_at_work_is_not_silent(harness, caplog):
    program = harness()

    def slow(samples):
        time.sleep(0.6)
        program.respond(samples)

    program.answer = slow
    (outcome,) = program.run("Offline", sut_timeout_ms=200)
    assert outcome.log.ending is Ending.COMPLETE
    assert "no sample answered for 0.2 s" in caplog.text


def test_a_system_that_sends_first_tokens_is_not_silent(harness):
    program = harness()

    def speak(samples):
        for sample in samples[:5]:
            time.sleep(0.15)
            mlperf.FirstTokenComplete([mlperf.QuerySampleResponse(sample.id, 0, 0)])
        program.respond(samples)

    program.answer = lambda samples: threading.Thread(target=speak, args=[samples]).start()
    (outcome,) = program.run("Offline", sut_timeout_ms=400)
    assert outcome.log.ending is Ending.COMPLETE
    assert len(outcome.log.lost) == 0


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_repeated_answer_makes_the_test_invalid(scenario, harness):
    program = harness()

    def twice(samples):
        program.respond(samples)
        if len(program.issued) == 1:
            program.respond(samples[:1])

    program.answer = twice
    (outcome,) = program.run(scenario)
    # Offline's comes after the last answer, and perhaps after the run was found to be over.
    assert outcome.log.repeated + outcome.log.after_end == 1
    assert not outcome.verdict.valid


def test_an_invented_answer_makes_the_test_invalid(harness):
    program = harness()

    def invent(samples):
        if len(program.issued) == 3:
            for number in (0, 12345, 2**63):
                mlperf.QuerySamplesComplete([mlperf.QuerySampleResponse(number, 0, 0)])
        program.respond(samples)

    program.answer = invent
    (outcome,) = program.run("Server")
    assert outcome.log.unknown == 3
    assert not outcome.verdict.valid


def test_an_answer_of_an_earlier_test_is_warned_of_and_not_counted(harness, caplog):
    program = harness()
    held = []

    def hold(samples):
        held.extend(samples)

    program.answer = hold
    program.run("SingleStream", sut_timeout_ms=200)
    program.respond(held)
    assert "ignored 1 answers that came while no test ran" in caplog.text

    def late(samples):
        if len(program.issued) == 5:
            program.respond(held)
        program.respond(samples)

    program.answer = late
    (outcome,) = program.run("SingleStream")
    assert "samples of an earlier run" in caplog.text
    assert outcome.log.unknown == outcome.log.repeated == 0


def test_what_is_no_response_is_refused(harness):
    program = harness()
    program.answer = lambda samples: mlperf.QuerySamplesComplete(samples)
    (outcome,) = program.run("Server", "AccuracyOnly")
    assert "TypeError" in outcome.log.error
    program.answer = lambda samples: mlperf.QuerySamplesComplete([1])
    (outcome,) = program.run("Server")
    assert "expected a list of QuerySampleResponse" in outcome.log.error


def test_too_many_unanswered_queries_end_the_test(harness):
    program = harness()
    program.answer = lambda samples: None
    (outcome,) = program.run("Server", server_max_async_queries=5)
    assert outcome.log.ending is Ending.SUT_ERROR
    assert "server_max_async_queries=5" in outcome.log.error
    assert len(program.issued) == 5


@pytest.mark.parametrize(
    ("scenario", "changes"),
    [
        ("SingleStream", {}),
        ("Offline", {}),
        ("Server", {"server_target_qps": 0.01, "min_query_count": 2}),
    ],
)
def test_ctrl_c_ends_a_test_that_waits(scenario, changes, harness, press_ctrl_c):
    program = harness()
    program.answer = lambda samples: None
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        press_ctrl_c(0.5)
        program.run(scenario, **changes)
    assert time.monotonic() - began < 5
    (outcome,) = mlperf.outcomes()
    assert outcome.log.ending is Ending.INTERRUPTED
    assert not outcome.verdict.valid
    assert program.calls[-1][0] == "unload"


def test_ctrl_c_ends_a_callback_that_hangs(harness, press_ctrl_c):
    program = harness()

    def hang(samples):
        press_ctrl_c(0.1)
        time.sleep(60)

    program.answer = hang
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        program.run("Offline")
    assert time.monotonic() - began < 30
    assert mlperf.outcomes()[0].log.ending is Ending.INTERRUPTED
    program.answer = None
    assert program.run("Offline")[0].log.ending is Ending.COMPLETE


def test_ctrl_c_before_the_first_callback_leaves_it_out(harness, monkeypatch):
    program = harness()
    collect = gc.collect

    def press(generation):  # on the load generator's thread, just before the start
        monkeypatch.setattr(gc, "collect", collect)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    monkeypatch.setattr(gc, "collect", press)
    with pytest.raises(KeyboardInterrupt):
        program.run("Offline")
    assert program.issued == []
    assert mlperf.outcomes()[0].log.ending is Ending.INTERRUPTED
    assert program.calls[-1][0] == "unload"


def test_a_test_on_another_thread_works(harness):
    found = []
    thread = threading.Thread(target=lambda: found.extend(harness().run("Server")))
    thread.start()
    thread.join()
    assert found[0].log.ending is Ending.COMPLETE


@pytest.mark.parametrize(
    ("scenario", "mode", "changes", "words"),
    [
        ("Server", "PerformanceOnly", {"server_num_issue_query_threads": 2}, "server_num_issue"),
        ("Offline", "FindPeakPerformance", {}, "FindPeakPerformance"),
        ("Server", "PerformanceOnly", {"server_target_latency_ns": 0}, "server_target_latency_ns"),
        ("Server", "PerformanceOnly", {"server_target_qps": 0}, "target_qps"),
        ("Server", "PerformanceOnly", {"max_query_count": 5}, "max_query_count"),
        ("Server", "PerformanceOnly", {"max_duration_ms": 5}, "max_duration_ms"),
        (
            "Server",
            "PerformanceOnly",
            {"performance_issue_unique": True, "performance_issue_same": True},
            "performance_issue_unique and performance_issue_same",
        ),
        (
            "MultiStream",
            "PerformanceOnly",
            {"sample_concatenate_permutation": True},
            "sample_concatenate_permutation",
        ),
        (
            "Server",
            "PerformanceOnly",
            {"performance_issue_same": True, "performance_issue_same_index": 64},
            "same_index=64",
        ),
        (
            "Server",
            "FindPeakPerformance",
            {"server_find_peak_qps_boundary_step_size": 0},
            "boundary_step_size",
        ),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(scenario, mode, changes, words, harness):
    with pytest.raises(ValueError, match=words):
        harness().run(scenario, mode, **changes)
    assert harness().run("Offline")[0].log.ending is Ending.COMPLETE


def test_ctrl_c_loses_no_job(monkeypatch):
    """The signal comes just as a waiting calling thread is handed a job."""

    class Interrupting(caller.Future):
        def result(self, timeout=None):
            os.kill(os.getpid(), signal.SIGINT)
            return super().result(20)

    calling = caller.Caller()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1.0)
    try:
        answer = calling.drive(lambda: hand_over(calling, monkeypatch, Interrupting))
    finally:
        sys.setswitchinterval(interval)
    assert answer == 42
    assert calling.interrupted


def hand_over(calling, monkeypatch, future):
    time.sleep(0.1)  # until the calling thread waits
    monkeypatch.setattr(caller, "Future", future)
    return calling.call(lambda: 42)
