"""The log files as their readers read them, of runs that went well and of runs that did not."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import loadgen
from loadgen import Arrivals, Ending, Mode, judge, run
from loadgen.official import write_logs
from loadgen.statistics import upper_estimate
from loadgen.takes import Takes

SCENARIOS = ("single_stream", "multi_stream", "server", "offline")
NAMES = {"sut_name": "toaster", "library_name": "numbers"}
COUNTS = {"total_count": 64, "performance_count": 64}


@pytest.fixture
def logs_of(tmp_path):
    """Writes the logs of a run log and reads them back."""

    def write(log, verdict=None, **options):
        files = write_logs(tmp_path, log, verdict or judge(log), **NAMES, **COUNTS, **options)
        assert all(file.parent == tmp_path for file in files)
        return Logs(tmp_path)

    return write


class Logs:
    """A reader written from the description of the format."""

    def __init__(self, folder):
        self.detail = (folder / "mlperf_log_detail.txt").read_text()
        self.summary = (folder / "mlperf_log_summary.txt").read_text()
        self.accuracy = json.loads((folder / "mlperf_log_accuracy.json").read_text())
        assert self.detail.startswith(":::MLLOG")
        self.facts = []
        for line in self.detail.splitlines():
            marker, text = line.split(" ", 1)
            assert marker == ":::MLLOG"
            fact = json.loads(text)
            assert isinstance(fact["metadata"]["is_error"], bool)
            assert isinstance(fact["metadata"]["is_warning"], bool)
            assert isinstance(fact["time_ms"], float)
            self.facts.append(fact)

    def __getitem__(self, key):
        (value,) = [fact["value"] for fact in self.facts if fact["key"] == key]
        return value

    def __contains__(self, key):
        return any(fact["key"] == key for fact in self.facts)

    @property
    def errors(self):
        return [fact["value"] for fact in self.facts if fact["metadata"]["is_error"]]


@pytest.fixture
def good_log(settings, library, scripted_sut):
    def make(scenario="server", **changes):
        batch = {"offline": 64, "multi_stream": 4}.get(scenario, 1)
        return run(settings(scenario, **changes), library, scripted_sut(max_batch=batch))

    return make


# What the submission checker, the log parser and the audit scripts look up.
READ = {
    "effective_scenario": str,
    "sut_name": str,
    "effective_qsl_rng_seed": int,
    "effective_sample_index_rng_seed": int,
    "effective_schedule_rng_seed": int,
    "effective_performance_sample_count": int,
    "effective_accuracy_sample_count": int,
    "effective_min_query_count": int,
    "effective_samples_per_query": int,
    "effective_min_duration_ms": int,
    "effective_target_latency_ns": int,
    "effective_sample_concatenate_permutation": bool,
    "qsl_reported_total_count": int,
    "early_stopping_met": bool,
    "early_stopping_result": str,
    "result_validity": str,
    "result_99.00_percentile_latency_ns": int,
    "result_mean_latency_ns": int,
    "result_query_count": int,
    "power_begin": str,
    "power_end": str,
    "num_errors": int,
}
READ_OF = {
    "single_stream": {"early_stopping_latency_ss": int, "early_stopping_latency_ms": int},
    "multi_stream": {
        "early_stopping_latency_ms": int,
        "result_mean_query_latency_ns": int,
        "result_99.00_percentile_per_query_latency_ns": int,
    },
    "server": {"result_completed_samples_per_sec": float, "result_perf_constraints_met": bool},
    "offline": {"result_samples_per_second": float},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_readers_find_their_keys_with_their_types(scenario, good_log, logs_of):
    logs = logs_of(good_log(scenario, confidence=0.99))
    for key, kind in (READ | READ_OF[scenario]).items():
        assert type(logs[key]) is kind, key
    assert logs["sut_name"] == "toaster"
    assert logs.errors == []
    assert logs["num_errors"] == 0
    assert re.fullmatch(r"\d\d-\d\d-\d{4} \d\d:\d\d:\d\d\.\d{3}", logs["power_end"])


# The patterns that the audit test TEST04 reads a summary by, and the key with the same figure.
TEST04 = {
    "single_stream": (
        r".*Early stopping (90th|90.0th|99.9th) percentile estimate",
        "early_stopping_latency_ss",
    ),
    "multi_stream": (
        r".*Early stopping (99th|99.0th) percentile estimate",
        "early_stopping_latency_ms",
    ),
    "server": (r"Completed samples per second", "result_completed_samples_per_sec"),
    "offline": (r"Samples per second", "result_samples_per_second"),
}
ENOUGH = {
    "single_stream": {"percentile": 90.0, "min_query_count": 70},
    "multi_stream": {"percentile": 99.0, "min_query_count": 700},
    "server": {"min_query_count": 1000, "target_qps": 10_000.0, "bound_ms": 2000.0},
    "offline": {"min_duration_ms": 0},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_valid_summary_is_read_by_the_audit_patterns(scenario, good_log, logs_of):
    logs = logs_of(good_log(scenario, confidence=0.99, **ENOUGH[scenario]))
    read = {}
    pattern, key = TEST04[scenario]
    for line in logs.summary.splitlines():
        for name, wanted in {"scenario": "Scenario", "metric": pattern, "is": "Result is"}.items():
            if re.match(wanted, line):
                assert name not in read
                read[name] = line.split(": ", 1)[1].strip()
        assert not re.match(r"\d+ ERROR", line)
    assert read["scenario"] == logs["effective_scenario"]
    assert read["is"] == logs["result_validity"] == "VALID"
    assert float(read["metric"]) == pytest.approx(logs[key], rel=1e-4)
    assert logs["early_stopping_met"] is True
    assert "result_invalid_reason" not in logs


def test_figures_are_those_of_the_arrays(good_log, logs_of):
    log = good_log("server", target_qps=3000.0)
    logs = logs_of(log)
    latency_ns = np.sort(log.completed_ns - log.scheduled_ns)
    assert logs["result_min_latency_ns"] == latency_ns[0]
    assert logs["result_max_latency_ns"] == latency_ns[-1]
    assert abs(logs["result_mean_latency_ns"] - latency_ns.sum() // len(latency_ns)) <= 1
    for percent in ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90"):
        place = int(len(latency_ns) * (float(percent) / 100))
        assert logs[f"result_{percent}_percentile_latency_ns"] == latency_ns[place]
    rate = (len(latency_ns) - 1) / (log.completed_ns.max() / 1e9)
    assert logs["result_completed_samples_per_sec"] == pytest.approx(rate)
    assert logs["result_query_count"] == len(latency_ns)


def test_a_single_streams_estimates_are_the_rules_ones(good_log, logs_of):
    asked = {"confidence": 0.99, "percentile": 90.0, "min_query_count": 1000}
    log = good_log("single_stream", **asked)
    logs, ordered = logs_of(log), np.sort(log.latency_ns)
    assert logs["early_stopping_latency_ss"] == upper_estimate(ordered, 90.0, 0.99)
    assert logs["early_stopping_latency_ms"] == upper_estimate(ordered, 99.0, 0.99)
    at_90 = f"90.0th percentile latency (ns) : {ordered[int(len(ordered) * 0.9)]}\n"
    assert at_90 in logs.summary


def test_a_percentile_of_ones_own_is_reported(good_log, logs_of):
    log = good_log("single_stream", percentile=85.0)
    place = int(len(log.latency_ns) * 0.85)
    figure = np.sort(log.latency_ns)[place]
    assert f"\n85.0th percentile latency (ns) : {figure}\n" in logs_of(log).summary


def test_a_run_without_early_stopping_does_not_speak_of_it(good_log, logs_of):
    logs = logs_of(good_log("single_stream"))
    assert "early_stopping" not in logs.detail.replace('"confidence"', "")
    assert "Early" not in logs.summary
    assert logs["result_validity"] == "VALID"


def assert_invalid(logs):
    assert logs["result_validity"] == "INVALID"
    assert "\nResult is : INVALID\n" in logs.summary
    assert "VALID" not in logs.summary.replace("INVALID", "")
    assert logs["result_invalid_reason"]


def test_a_missed_bound_is_invalid_and_says_why(settings, library, stalling_sut, logs_of):
    asked = settings(target_qps=1000.0, confidence=0.99)
    logs = logs_of(run(asked, library, stalling_sut(20, 0.2)))
    assert_invalid(logs)
    assert logs["result_perf_constraints_met"] is False
    assert logs["early_stopping_met"] is False
    assert logs["result_overlatency_query_count"] > 50
    assert "  Performance constraints satisfied : NO\n" in logs.summary
    assert "lower the rate" in logs.summary
    assert "more would be needed" in logs["early_stopping_result"]
    assert logs.errors == []


def assert_error(logs, text):
    assert_invalid(logs)
    assert any(text in error for error in logs.errors)
    assert logs["num_errors"] == len(logs.errors) > 0
    assert re.search(r"^\d+ ERROR", logs.summary, re.MULTILINE)


def test_a_system_that_raises_is_an_error_with_its_traceback(
    settings, library, failing_sut, logs_of
):
    log = run(settings(min_duration_ms=5000), library, failing_sut)
    assert_error(logs_of(log), "RuntimeError: the accelerator is on fire")


def test_a_run_that_never_began_is_an_error(settings, library, null_sut, logs_of):
    def refuse(samples):
        raise MemoryError("64 GiB wanted")

    null_sut.load = refuse
    for scenario in SCENARIOS:
        log = run(settings(scenario, confidence=0.99), library, null_sut)
        assert_error(logs_of(log, trace=True), "64 GiB wanted")


def misbehaviour(kind):
    def answer(batch):
        if batch.ids[0] == 7 and kind == "failed":
            return batch.fail(RuntimeError("lost packet"))
        if batch.ids[0] == 7 and kind == "lost":
            return None
        batch.complete(batch.indices)
        if batch.ids[0] == 7 and kind == "repeated":
            batch.complete(batch.indices)
        return None

    return answer


@pytest.mark.parametrize("kind", ["failed", "lost", "repeated"])
def test_answers_that_are_not_once_each_are_errors(kind, settings, library, scripted_sut, logs_of):
    asked = settings(sut_timeout_ms=300.0)
    log = run(asked, library, scripted_sut(answer=misbehaviour(kind)))
    assert_error(logs_of(log), f"1 {kind}")


def test_a_run_ended_early_is_an_error(settings, library, null_sut, logs_of):
    log = run(settings(min_duration_ms=20_000), library, null_sut, lambda p: p.completed > 20)
    assert log.ending is Ending.STOPPED
    assert_error(logs_of(log), "stopped")


def test_a_late_generator_is_an_error(good_log, logs_of):
    log = good_log()
    first, at_ns = log.takes.first, log.takes.at_ns
    late = Takes.of(len(log.answers), first, at_ns, np.full(len(first), 2_000_000_000))
    assert_error(logs_of(replace(log, takes=late)), "punctual_generator")


def test_a_verdict_cannot_make_a_failed_run_valid(good_log, logs_of):
    log = good_log()
    assert judge(log).valid
    logs = logs_of(replace(log, error="Traceback: it broke"), judge(log))
    assert logs["result_validity"] == "INVALID"
    assert logs.errors == ["Traceback: it broke"]


def test_answers_after_the_end_are_a_warning(good_log, logs_of):
    logs = logs_of(replace(good_log(), after_end=3))
    (warning,) = [f["value"] for f in logs.facts if f["metadata"]["is_warning"]]
    assert warning.startswith("3 answers")
    assert "\n1 warning encountered. See detailed log.\n" in logs.summary


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_an_accuracy_run_has_no_result_and_a_failed_one_has_errors(
    scenario, settings, library_of, scripted_sut, logs_of
):
    asked = settings(scenario, mode=Mode.ACCURACY, sut_timeout_ms=300.0)
    library = library_of(performance_count=16)
    logs = logs_of(run(asked, library, scripted_sut()))
    assert not [fact for fact in logs.facts if fact["key"].startswith("result_")]
    assert logs["effective_test_mode"] == "AccuracyOnly"
    assert "Result" not in logs.summary
    assert "No errors encountered during test." in logs.summary
    failed = logs_of(run(asked, library, scripted_sut(answer=misbehaviour("failed"))))
    assert any("lost packet" in error for error in failed.errors)
    assert "2 ERRORS encountered. See detailed log." in failed.summary
    assert len(failed.accuracy) == 64 - 4  # One in each of the four sets.


def test_the_log_names_this_program_and_its_sources(good_log, logs_of):
    logs = logs_of(good_log())
    assert re.fullmatch(r"tailbound (\d+\.\d+.*|\(not installed\))", logs["loadgen_version"])
    package = Path(loadgen.__file__).parent
    sums = logs["loadgen_file_sha1"]
    assert {"/verdict.py", "/official/detail.py"} <= set(sums)
    assert any(name.endswith(".so") for name in sums)
    for name, digest in sums.items():
        assert hashlib.sha1((package / name[1:]).read_bytes()).hexdigest() == digest
    assert "MLPerf" not in logs.summary


def test_a_name_cannot_pretend_to_be_a_result(settings, library, stalling_sut, tmp_path):
    log = run(settings(target_qps=1000.0), library, stalling_sut(20, 0.2))
    names = {"sut_name": "toaster\nResult is : VALID", "library_name": "numbers"}
    write_logs(tmp_path, log, judge(log), **names, **COUNTS)
    results = [line for line in Logs(tmp_path).summary.splitlines() if line.startswith("Result")]
    assert results == ["Result is : INVALID"]


def test_prefix_and_suffix_name_the_files_and_cannot_leave_the_folder(good_log, tmp_path):
    log = good_log()
    folder = tmp_path / "new" / "folder"
    options = {**NAMES, **COUNTS, "prefix": "run_", "suffix": "_7"}
    files = write_logs(folder, log, judge(log), **options, trace=True)
    written = {"run_trace_7.json", "run_accuracy_7.json", "run_detail_7.txt", "run_summary_7.txt"}
    assert {file.name for file in files} == {file.name for file in folder.iterdir()} == written
    for wrong in ("../", "a/b", "..\\", "\0"):
        with pytest.raises(ValueError, match="path separators"):
            write_logs(folder, log, judge(log), **{**options, "prefix": wrong})
        with pytest.raises(ValueError, match="path separators"):
            write_logs(folder, log, judge(log), **{**options, "suffix": wrong})


def test_a_fixed_interval_run_is_judged_by_its_skipped_intervals(good_log, logs_of):
    log = good_log("multi_stream", interval_ms=100.0, min_query_count=5, confidence=0.99)
    logs = logs_of(log)
    assert logs["effective_target_qps"] == 10
    assert logs["result_perf_constraints_met"] is True
    assert "early_stopping_met" not in logs
    slow = replace(log, answers=log.answers + 150_000_000)
    assert_invalid(failed := logs_of(slow))
    assert failed["result_perf_constraints_met"] is False


def test_a_run_over_a_trace_of_arrivals_is_logged_without_the_trace(good_log, logs_of):
    times = tuple(range(0, 100_000_000, 1_000_000))
    asked = {"arrivals": Arrivals.TRACE, "trace_ns": times, "min_duration_ms": 0}
    logs = logs_of(good_log("server", **asked))
    assert logs["result_query_count"] == 100
    assert logs["tailbound_settings"]["arrivals"] == "trace"
    assert "trace_ns" not in logs["tailbound_settings"]


def test_a_warm_up_is_a_message_and_in_no_figure(settings, library, null_sut, logs_of):
    log = run(settings(warmup_ms=50.0), library, null_sut)
    logs = logs_of(log)
    (message,) = [
        fact["value"]
        for fact in logs.facts
        if fact["key"] == "generic_message" and "warm-up" in str(fact["value"])
    ]
    assert message.startswith(f"warm-up: {len(log.warmup.scheduled_ns)} queries in ")
    assert logs["result_query_count"] == len(log.scheduled_ns)
    assert logs["tailbound_settings"]["warmup_ms"] == 50.0
