"""The same cases with the official LoadGen's Python module, where it has them."""

from __future__ import annotations

import array
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.bench.cases import SAMPLES, Figures, peak_mb

Complete = Callable[[list[Any]], None]


def _settings(scenario: str, **fields: Any) -> Any:
    import mlperf_loadgen as lg

    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, scenario)
    settings.mode = lg.TestMode.PerformanceOnly
    for name, value in fields.items():
        setattr(settings, name, value)
    return settings


def _run(settings: Any, note: Callable[[list[Any]], None] | None = None) -> dict[str, Any]:
    """Run an inline null system without the trace log; the values of its detail log."""
    import mlperf_loadgen as lg

    data = array.array("B", [0])
    address, _ = data.buffer_info()

    def issue(samples: list[Any]) -> None:
        if note:
            note(samples)
        for first in range(0, len(samples), 10_000):
            part = samples[first : first + 10_000]
            lg.QuerySamplesComplete([lg.QuerySampleResponse(s.id, address, 1) for s in part])

    sut = lg.ConstructSUT(issue, lambda: None)
    library = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    with tempfile.TemporaryDirectory() as folder:
        output = lg.LogOutputSettings()
        output.outdir = folder
        logs = lg.LogSettings()
        logs.log_output = output
        logs.enable_trace = False
        lg.StartTestWithLogSettings(sut, library, settings, logs, "")
        returned_ns = time.monotonic_ns()
        text = (Path(folder) / "mlperf_log_detail.txt").read_text()
    lg.DestroyQSL(library)
    lg.DestroySUT(sut)
    lines = (json.loads(line.partition(" ")[2]) for line in text.splitlines())
    return {line["key"]: line["value"] for line in lines} | {"returned_ns": returned_ns}


def _server(rate: float, seconds: float, note: Any = None) -> dict[str, Any]:
    fields = {
        "server_target_qps": rate,
        "server_target_latency_ns": 1_000_000,
        "min_duration_ms": int(seconds * 1000),
        "min_query_count": 1,
    }
    return _run(_settings("Server", **fields), note)


def server_rate() -> Figures:
    """Highest rate on a ladder with 99 % completed and p99 below 1 ms, two tries each."""
    best = 0.0
    for rate in (50e3, 75e3, 100e3, 125e3, 150e3, 200e3, 250e3, 300e3, 400e3):
        if not any(_keeps_up(rate) for _ in range(2)):
            break
        best = rate
    return {"queries/s": best}


def _keeps_up(rate: float) -> bool:
    log = _server(rate, 0.5)
    in_time = log["result_completed_samples_per_sec"] >= 0.99 * float(
        log["result_scheduled_samples_per_sec"]
    )
    return in_time and log["result_99.00_percentile_latency_ns"] < 1_000_000


def lateness() -> Figures:
    """When the callback starts, against the schedule, at 10,000 queries/s.

    The best query counts as punctual, because the start of the clock is not told.
    """
    entered: list[int] = []
    _server(10_000, 2.0, lambda samples: entered.append(time.monotonic_ns()))
    scheduled_ns = _schedule(len(entered), 10_000)
    late_ns = np.array(entered) - scheduled_ns
    late_us = (late_ns - late_ns.min()) / 1e3
    return {"p50 us": float(np.median(late_us)), "p99 us": float(np.percentile(late_us, 99))}


def _schedule(count: int, rate: float) -> np.ndarray:
    """The schedule that the official one follows: ours is the same for the same seed."""
    from loadgen import Scenario, Settings
    from loadgen._traffic import generate

    asked = Settings(
        scenario=Scenario.SERVER,
        target_qps=rate,
        bound_ms=1.0,
        min_duration_ms=0,
        min_query_count=count,
    )
    schedule_ns = generate(asked, np.arange(SAMPLES)).scheduled_ns
    assert schedule_ns is not None
    return schedule_ns


def lateness_beside_python() -> Figures:
    """The same beside a thread that runs pure Python."""
    stop = threading.Event()
    busy = threading.Thread(target=lambda: [None for _ in iter(stop.is_set, True)])
    busy.start()
    try:
        return lateness()
    finally:
        stop.set()
        busy.join()


def offline() -> Figures:
    """10 M samples, completed in batches of 10,000."""
    before_mb = peak_mb()
    fields = {"offline_expected_qps": 1.0, "min_query_count": 10_000_000, "min_duration_ms": 0}
    log = _run(_settings("Offline", **fields))
    used_mb = peak_mb() - before_mb
    seconds = float(log["result_max_latency_ns"]) / 1e9
    return {"s": seconds, "MB": used_mb, "B/query": used_mb * 1e6 / 10_000_000}


def single_stream() -> Figures:
    """From one callback to the next."""
    entered: list[int] = []
    fields = {"single_stream_expected_latency_ns": 2_000, "min_duration_ms": 1000}
    _run(_settings("SingleStream", **fields), lambda samples: entered.append(time.monotonic_ns()))
    return {"p50 us": float(np.median(np.diff(entered))) / 1e3}


def judging() -> Figures:
    """1 M server queries, from the last one's callback until the test returns."""
    last_ns = [0]

    def note(samples: list[Any]) -> None:
        last_ns[0] = time.monotonic_ns()

    log = _server(100_000, 10.0, note)
    return {"both s": (log["returned_ns"] - last_ns[0]) / 1e9}


CASES: dict[str, Callable[[], Figures]] = {
    case.__name__: case
    for case in (server_rate, lateness, lateness_beside_python, offline, single_stream, judging)
}
