"""Whole tests through the official interface: scenarios, modes, tokens, the search."""

import logging
import threading
import time

import numpy as np
import pytest

from loadgen import Ending, Mode, mlperf
from loadgen.tokens import token_latencies_ns

SCENARIOS = tuple(mlperf.TestScenario.__members__)
# Counts with which early stopping can pass.
ENOUGH = {"min_query_count": 700, "multi_stream_samples_per_query": 2}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("how", [{}, {"fast": True}, {"threads": 1}, {"threads": 3}], ids=str)
def test_a_good_system_is_valid(scenario, how, harness, missed):
    program = harness(**how)
    (outcome,) = program.run(
        scenario, **ENOUGH, min_duration_ms=0 if scenario == "Offline" else 100
    )
    assert outcome.log.ending is Ending.COMPLETE
    assert missed(outcome) == set()
    assert outcome.log.done.all()
    assert program.calls[0] == ("load", program.calls[-1][1])
    assert program.calls[1] == "issue"
    assert program.calls[-2] == "flush"
    assert program.calls[-1][0] == "unload"


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("how", [{}, {"threads": 2}], ids=str)
def test_an_accuracy_test_keeps_the_bytes_of_every_sample(scenario, how, harness, missed):
    program = harness(total=50, performance=16, **how)
    (outcome,) = program.run(scenario, "AccuracyOnly", max_query_count=1)
    log = outcome.log
    answers = {int(i): r.tobytes() for i, r in zip(log.sample_index, log.responses, strict=True)}
    assert answers == {i: np.int32(i).tobytes() for i in range(50)}
    assert missed(outcome) == set()
    assert program.calls.count("flush") == 4


def test_zero_bytes_are_kept(harness):
    """Trailing zeros of a response are part of it."""
    program = harness(total=3, performance=3)
    program.table[:3] = (0, 1, 256)
    (outcome,) = program.run("Offline", "AccuracyOnly")
    kept = {int(i): r.tobytes() for i, r in zip(*_of(outcome), strict=True)}
    assert kept == {0: bytes(4), 1: b"\x01\0\0\0", 2: b"\0\x01\0\0"}


def _of(outcome):
    return outcome.log.sample_index, outcome.log.responses


def test_the_response_callback_sees_what_is_kept_and_nothing_else(harness):
    seen = []
    program = harness(total=20, performance=20)
    program.answer = lambda samples: program.respond(samples, lambda r: seen.append(r.size))
    program.run("Server", "AccuracyOnly")
    assert seen == [4] * 20
    seen.clear()
    program.run("Server")
    assert seen == []


def test_the_callback_may_put_the_bytes_there(harness):
    def fetch(response):
        program.table[0] = 77

    program = harness(total=1, performance=1)
    program.answer = lambda samples: program.respond(samples, fetch)
    (outcome,) = program.run("SingleStream", "AccuracyOnly")
    assert outcome.log.responses[0].view(np.int32) == 77


def test_a_submission_run_is_accuracy_then_performance(harness):
    program = harness(total=40, performance=20)
    accuracy, performance = program.run("Server", "SubmissionRun")
    assert accuracy.settings.mode is Mode.ACCURACY
    assert performance.settings.mode is Mode.PERFORMANCE
    assert [len(call[1]) for call in program.calls if call[0] == "load"] == [20, 20, 20]


def test_callbacks_run_on_the_calling_thread(harness):
    """A model may live in thread-local state, as a CUDA context does."""
    seen = set()
    program = harness()

    def answer(samples):
        seen.add(threading.get_ident())
        program.respond(samples)

    program.answer = answer
    program.run("Server")
    assert seen == {threading.get_ident()}


def test_latency_counts_from_the_schedule(harness):
    program = harness()

    def stall(samples):
        if len(program.issued) == 20:
            time.sleep(0.1)
        program.respond(samples)

    program.answer = stall
    (outcome,) = program.run("Server", server_target_qps=1000, min_duration_ms=300)
    assert (outcome.log.latency_ns > 20_000_000).sum() > 40


def test_answers_may_come_in_groups_of_several_queries(harness, missed):
    """A system that gathers queries and answers the rest when it is told to flush."""
    waiting = []
    program = harness(total=30, performance=30)

    def gather(samples):
        waiting.extend(samples)
        if len(waiting) >= 7:
            program.respond(waiting)
            waiting.clear()

    program.answer = gather
    lg = mlperf
    sut = lg.ConstructSUT(program.issue, lambda: program.respond(waiting))
    qsl = lg.ConstructQSL(30, 30, lambda indices: None, lambda indices: None)
    log = lg.LogSettings()
    log.log_output.outdir = program.folder
    lg.StartTestWithLogSettings(sut, qsl, program.settings("Server", **ENOUGH), log)
    (outcome,) = lg.outcomes()
    assert missed(outcome) == set()
    assert len(outcome.log.lost) == outcome.log.repeated == 0


def test_two_tests_follow_each_other_in_one_process(harness):
    program = harness()
    ids = []

    def answer(samples):
        ids.extend(sample.id for sample in samples)
        program.respond(samples)

    program.answer = answer
    counts = [len(program.run("Server")[0].log.done) for _ in range(2)]
    assert counts[0] == counts[1]
    assert len(set(ids)) == len(ids) == sum(counts)


def test_a_test_within_a_test_is_refused(harness):
    program = harness()

    def nest(samples):
        harness().run("Offline")

    program.answer = nest
    (outcome,) = program.run("Offline")
    assert "a test is running already" in outcome.log.error


def test_the_time_of_a_performance_run_is_printed(harness, capsys):
    harness().run("Offline", print_timestamps=True)
    out = capsys.readouterr().out
    assert out.index("performance start") < out.index("performance stop")


# --- tokens --------------------------------------------------------------------------------


def speaking(program, first_s, token_s, count=3, silent=False):
    def answer(samples):
        for sample in samples:
            response = mlperf.QuerySampleResponse(sample.id, 0, 0, count)
            time.sleep(first_s)
            if not silent:
                mlperf.FirstTokenComplete([response])
            time.sleep(token_s * (count - 1))
            mlperf.QuerySamplesComplete([response])

    program.answer = answer


TOKENS = {"use_token_latencies": True, "server_target_latency_ns": 0, "server_target_qps": 50}


def test_token_latencies_are_measured_and_judged(harness, missed):
    program = harness()
    speaking(program, 0.002, 0.001)
    bounds = {"ttft_latency": 400_000_000, "tpot_latency": 200_000_000}
    (outcome,) = program.run("Server", **TOKENS, **bounds, server_target_latency_percentile=0.9)
    first, each = token_latencies_ns(outcome.log)
    assert len(first) == len(each) == len(outcome.log.done)
    assert first.min() >= 2_000_000
    assert each.min() >= 1_000_000
    assert first.max() < outcome.log.latency_ns.max()
    assert missed(outcome) == set()
    names = {row.name for row in outcome.verdict.constraints}
    assert {"p90_ttft", "p90_tpot", "early_stopping_ttft", "early_stopping_tpot"} <= names
    assert not {"p90_latency", "early_stopping"} & names


@pytest.mark.parametrize(("bound", "name"), [("ttft_latency", "ttft"), ("tpot_latency", "tpot")])
def test_a_missed_token_bound_is_named(bound, name, harness, missed):
    program = harness()
    speaking(program, 0.002, 0.002)
    bounds = {"ttft_latency": 10**10, "tpot_latency": 10**10, bound: 1_000_000}
    (outcome,) = program.run("Server", **TOKENS, **bounds, server_target_latency_percentile=0.9)
    assert missed(outcome) == {f"p90_{name}", f"early_stopping_{name}"}


@pytest.mark.parametrize(
    ("how", "words"),
    [({"count": 1}, "50 with fewer, 0 without"), ({"silent": True}, "0 with fewer, 50 without")],
)
def test_samples_without_tokens_are_counted(how, words, harness):
    program = harness()
    speaking(program, 0, 0, **how)
    (outcome,) = program.run("SingleStream", max_query_count=50, use_token_latencies=True)
    (row,) = (row for row in outcome.verdict.missed if row.name == "tokens")
    assert row.measured.startswith(words)


def test_offline_needs_no_first_tokens(harness, missed):
    program = harness()
    speaking(program, 0, 0, silent=True)
    (outcome,) = program.run("Offline", min_duration_ms=0, use_token_latencies=True)
    assert missed(outcome) == set()


def test_inferred_tokens_are_reported(harness, caplog):
    harness().run("Offline", infer_token_latencies=True, token_latency_scaling_factor=69)
    assert "inferred tokens per second" in caplog.text


# --- the search ----------------------------------------------------------------------------


@pytest.fixture
def patient(monkeypatch):
    """A machine that runs tests is busy: a late wake-up must not decide a search."""
    monkeypatch.setattr("loadgen.mlperf.mapping.LATE_MS", 500.0)


def test_the_peak_lies_where_the_system_saturates(harness, patient, caplog):
    """One query at a time, 1 ms each: 1000 queries/s at most, fewer within a bound."""
    caplog.set_level(logging.INFO, "loadgen.mlperf")
    program = harness()

    def slow(samples):
        time.sleep(0.001)
        program.respond(samples)

    program.answer = slow
    probes = program.run(
        "Server",
        "FindPeakPerformance",
        server_target_qps=80,
        server_target_latency_ns=60_000_000,
        server_target_latency_percentile=0.9,
        server_find_peak_qps_decimals_of_precision=0,
        server_find_peak_qps_boundary_step_size=2.0,
        min_duration_ms=100,
    )
    rates = [probe.settings.target_qps for probe in probes]
    passed = [r for r, p in zip(rates, probes, strict=True) if p.verdict.valid]
    assert rates[:2] == [80, 240]
    assert any(not probe.verdict.valid for probe in probes)
    assert rates[-1] == max(passed)
    assert 80 <= rates[-1] < 2000
    assert caplog.text.count("probe at") == len(probes)


def test_a_search_that_starts_too_high_ends_at_once(harness, patient, caplog):
    program = harness()
    program.answer = lambda samples: (time.sleep(0.01), program.respond(samples))
    probes = program.run(
        "Server", "FindPeakPerformance", server_target_qps=500, server_target_latency_ns=1_000_000
    )
    assert [probe.verdict.valid for probe in probes] == [False]
    assert "the search must start at a rate that passes" in caplog.text


def test_a_machine_that_was_late_gets_another_try(harness, monkeypatch):
    monkeypatch.setattr("loadgen.mlperf.mapping.LATE_MS", 0.0)
    probes = harness().run(
        "Server", "FindPeakPerformance", server_target_qps=700, **ENOUGH, min_duration_ms=0
    )
    assert [probe.settings.target_qps for probe in probes] == [700] * 3
    assert {row.name for probe in probes for row in probe.verdict.missed} == {"punctual_generator"}
