"""The detail log: one line of JSON for each fact about a run."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from loadgen.log import RunLog
from loadgen.official.figures import Figures
from loadgen.official.origin import origin
from loadgen.official.parameters import effective, plain, requested
from loadgen.official.run import FinishedRun
from loadgen.official.tokens import token_results
from loadgen.settings import Mode, Scenario
from loadgen.statistics import PERCENTILES


@dataclass(frozen=True)
class Entry:
    """One fact, known so long after the start of the run."""

    key: str
    value: Any
    at_ns: int = 0
    is_error: bool = False
    is_warning: bool = False

    def line(self, process: int, thread: int) -> str:
        """The line of the detail log; entries have no line in a source file, so it is 0."""
        metadata = {
            "is_error": self.is_error,
            "is_warning": self.is_warning,
            "file": "loadgen/official/detail.py",
            "line_no": 0,
            "pid": process,
            "tid": thread,
        }
        fact = {
            "key": self.key,
            "value": self.value,
            "time_ms": self.at_ns / 1e6,
            "namespace": "mlperf::logging",
            "event_type": "POINT_IN_TIME",
            "metadata": metadata,
        }
        return f":::MLLOG {json.dumps(fact, allow_nan=False)}\n"


def detail_lines(run: FinishedRun, figures: Figures) -> Iterator[str]:
    """The lines of the detail log."""
    process, thread = os.getpid(), threading.get_native_id()
    for entry in _entries(run, figures):
        yield entry.line(process, thread)


def _entries(run: FinishedRun, figures: Figures) -> Iterator[Entry]:
    yield from (Entry(f"loadgen_{name}", value) for name, value in origin().items())
    yield Entry("test_datetime", run.started_at.strftime("%Y-%m-%dT%H:%M:%SZ"))
    yield Entry("sut_name", run.sut_name)
    yield Entry("qsl_name", run.library_name)
    yield Entry("qsl_reported_total_count", run.total_count)
    yield Entry("qsl_reported_performance_count", run.performance_count)
    yield from (Entry(f"requested_{name}", value) for name, value in requested(run).items())
    yield from (Entry(f"effective_{name}", value) for name, value in effective(run).items())
    # All but a trace of arrivals, which may be longer than all the rest.
    ours = {name: value for name, value in vars(run.settings).items() if name != "trace_ns"}
    yield Entry("tailbound_settings", ours)
    yield Entry("generic_message", f"{run.settings.mode} run")
    if run.log.warmup is not None:
        yield Entry("generic_message", _warmup(run.log.warmup))
    end_ns = 0
    for stretch in run.stretches():
        end_ns = stretch.end_ns
        yield Entry("loaded_qsl_set", stretch.loaded.tolist(), stretch.begin_ns)
        yield Entry("generated_query_count", stretch.query_count, stretch.begin_ns)
        yield Entry("generated_samples_per_query", stretch.samples_per_query, stretch.begin_ns)
        yield Entry("generated_query_duration", stretch.last_query_ns, stretch.begin_ns)
        yield Entry("power_begin", run.moment(stretch.begin_ns), end_ns)
        yield Entry("power_end", run.moment(end_ns), end_ns)
    yield Entry("generic_message", f"ending: {run.log.ending}", end_ns)
    for warning in figures.warnings:
        yield Entry("warning_generic_message", warning, end_ns, is_warning=True)
    for error in figures.errors:
        yield Entry("error_runtime", error, end_ns, is_error=True)
    if run.settings.mode is Mode.PERFORMANCE:
        for key, value in _results(run, figures).items():
            yield Entry(key, value, end_ns)
        yield Entry("num_errors", len(figures.errors), end_ns)


def _warmup(log: RunLog) -> str:
    seconds = float(log.completed_ns.max(initial=0)) / 1e9
    return f"warm-up: {len(log.scheduled_ns)} queries in {seconds:.3f} s, in no figure"


def _results(run: FinishedRun, figures: Figures) -> dict[str, Any]:
    early = {f"{name}_result": " ".join(lines) for name, lines in figures.early_stopping.items()}
    reason = {} if figures.valid else {"result_invalid_reason": " ".join(figures.hints)}
    return {
        "result_validity": "VALID" if figures.valid else "INVALID",
        **_met(figures),
        **reason,
        **early,
        **_metric(run, figures),
        **{_latency_key(name): value for name, value in figures.latency_ns.items()},
        **{key: plain(value) for key, value in token_results(run).items()},
        "tailbound_wake_late_us": run.verdict.statistics.wake_late_us,
    }


def _met(figures: Figures) -> dict[str, bool]:
    keys = {
        "perf_constraints": "result_perf_constraints_met",
        "min_duration": "result_min_duration_met",
        "min_queries": "result_min_queries_met",
        "early_stopping": "early_stopping_met",
    }
    return {key: figures.met[name] for name, key in keys.items() if name in figures.met}


def _metric(run: FinishedRun, figures: Figures) -> dict[str, Any]:
    statistics, scenario = run.verdict.statistics, run.settings.scenario
    tested = "early_stopping" in figures.met
    values: dict[str, float | None] = {"result_query_count": statistics.query_count}
    if scenario is Scenario.OFFLINE:
        values["result_query_count"] = 1
        values["result_samples_per_second"] = statistics.completed_samples_per_s
    elif scenario is Scenario.SERVER:
        values["result_overlatency_query_count"] = statistics.over_bound_count or 0
        values["result_scheduled_samples_per_sec"] = statistics.scheduled_qps
        values["result_completed_samples_per_sec"] = figures.completed_per_s
    elif scenario is Scenario.SINGLE_STREAM:
        values["result_qps_with_loadgen_overhead"] = statistics.completed_samples_per_s
        values["result_qps_without_loadgen_overhead"] = figures.busy_per_s
        if tested:
            values["early_stopping_latency_ss"] = figures.estimate_ns or 0
            values["early_stopping_latency_ms"] = figures.inferred_estimate_ns or 0
    else:
        for name, value in figures.query_latency_ns.items():
            values[_latency_key(name, "per_query_latency", "query_latency")] = value
        if tested:
            values["early_stopping_latency_ms"] = figures.estimate_ns or 0
    return {key: plain(value) for key, value in values.items() if value is not None}


def _latency_key(name: str, percentile: str = "latency", extreme: str = "latency") -> str:
    of = {f"p{percent:g}": percent for percent in PERCENTILES}
    if name in of:
        return f"result_{of[name]:.2f}_percentile_{percentile}_ns"
    return f"result_{name}_{extreme}_ns"
