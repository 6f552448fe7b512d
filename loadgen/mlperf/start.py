"""Starting a test: its phases, its end, its logs."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from loadgen.log import Ending
from loadgen.mlperf.caller import Caller
from loadgen.mlperf.enums import TestMode
from loadgen.mlperf.handles import Samples, System, samples_of, system_of
from loadgen.mlperf.mapping import effective
from loadgen.mlperf.peak import find_peak
from loadgen.mlperf.phase import Outcome, run_phase
from loadgen.mlperf.settings import LogSettings, TestSettings
from loadgen.settings import Mode

logger = logging.getLogger("loadgen.mlperf")

_running = threading.Lock()
_outcomes: list[Outcome] = []


def outcomes() -> tuple[Outcome, ...]:
    """Records and verdicts of the last test, one for each phase or probe (not official)."""
    return tuple(_outcomes)


def StartTest(
    sut: int, qsl: int, test_settings: TestSettings, audit_config_filename: str = "audit.config"
) -> None:
    """Run a test with the default log settings (see StartTestWithLogSettings)."""
    StartTestWithLogSettings(sut, qsl, test_settings, LogSettings(), audit_config_filename)


def StartTestWithLogSettings(
    sut: int,
    qsl: int,
    test_settings: TestSettings,
    log_settings: LogSettings,
    audit_config_filename: str = "audit.config",
) -> None:
    """Run a test and write its logs. Callbacks run on the calling thread.

    An exception in a callback of the system ends the test INVALID, with its traceback in
    ``outcomes()`` and logged; so does a system that is silent for ``sut_timeout_ms``. Raises
    ValueError for settings that are contradictory or not supported, what a library's callback
    or a network's name raises, KeyboardInterrupt on Ctrl-C after the logs are written, and
    RuntimeError where a test is running already.
    """
    system, samples = system_of(sut), samples_of(qsl)
    asked = effective(test_settings, audit_config_filename)
    system = system.named()
    if not _running.acquire(blocking=False):
        raise RuntimeError("a test is running already: start one after the other")
    try:
        _outcomes.clear()
        caller = Caller()
        caller.drive(lambda: _phases(asked, system, samples, caller))
        for outcome in _outcomes:
            _report(outcome, asked)
        _write(log_settings, system, samples)
        interrupted = caller.interrupted
    finally:
        _running.release()
    if interrupted:
        raise KeyboardInterrupt


def _phases(asked: TestSettings, system: System, samples: Samples, caller: Caller) -> None:
    """Run what the mode asks for, each phase into ``_outcomes``."""

    def performance(target_qps: float | None = None) -> Outcome:
        _timestamp(asked, "start")
        outcome = run_phase(asked, Mode.PERFORMANCE, system, samples, caller, target_qps)
        _timestamp(asked, "stop")
        return outcome

    if asked.mode is TestMode.FindPeakPerformance:
        step = asked.server_find_peak_qps_boundary_step_size
        decimals = asked.server_find_peak_qps_decimals_of_precision
        _outcomes.extend(find_peak(performance, asked.server_target_qps, step, decimals))
        return
    if asked.mode in (TestMode.AccuracyOnly, TestMode.SubmissionRun):
        _outcomes.append(run_phase(asked, Mode.ACCURACY, system, samples, caller))
        if _outcomes[-1].log.ending is not Ending.COMPLETE:
            return
    if asked.mode is not TestMode.AccuracyOnly:
        _outcomes.append(performance())


def _timestamp(asked: TestSettings, moment: str) -> None:
    if asked.print_timestamps:
        print(f"Loadgen: performance {moment}, system time {time.time_ns()} ns", flush=True)


def _report(outcome: Outcome, asked: TestSettings) -> None:
    """Log why a phase is INVALID, and the inferred token rate where one is asked for."""
    if outcome.log.error:
        logger.error("the system under test failed:\n%s", outcome.log.error)
    if not outcome.verdict.valid and asked.mode is not TestMode.FindPeakPerformance:
        for row in outcome.verdict.missed:
            logger.error(
                "INVALID: %s: %s, required %s; %s", row.name, row.measured, row.required, row.hint
            )
    per_second = outcome.verdict.statistics.completed_samples_per_s
    if asked.infer_token_latencies and per_second and outcome.settings.mode is Mode.PERFORMANCE:
        rate = per_second * asked.token_latency_scaling_factor
        logger.warning("inferred tokens per second (infer_token_latencies): %g", rate)


def _write(log_settings: LogSettings, system: System, samples: Samples) -> None:
    """Write the logs: the last phase's in the folder, an accuracy phase before it beside them."""
    from loadgen.official import write_logs

    output = log_settings.log_output
    folder = Path(output.outdir)
    prefix = output.prefix
    if output.prefix_with_datetime:
        prefix += datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ_")
    phases = _outcomes[-1:]
    if len(_outcomes) > 1 and _outcomes[0].settings.mode is Mode.ACCURACY:
        phases = [_outcomes[0], *phases]
    for outcome in phases:
        place = folder if outcome is phases[-1] else folder / "accuracy"
        write_logs(
            place,
            outcome.log,
            outcome.verdict,
            sut_name=system.name,
            library_name=samples.name,
            total_count=outcome.total_count,
            performance_count=outcome.performance_count,
            trace=log_settings.enable_trace,
            prefix=prefix,
            suffix=output.suffix,
        )
    name = f"{prefix}accuracy{output.suffix}.json"
    if len(phases) > 1 and (answers := folder / "accuracy" / name).is_file():
        shutil.copyfile(answers, folder / name)
    for kind in ("summary", "detail"):
        written = folder / f"{prefix}{kind}{output.suffix}.txt"
        if getattr(output, f"copy_{kind}_to_stdout") and written.is_file():
            print(written.read_text(), flush=True)
