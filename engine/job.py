"""One benchmark from its composed config to its exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine import signals
from engine.errors import INVALID, VALID, ConfigError, SutError, TailboundError
from engine.validation import validate

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from engine.build import Benchmark
    from engine.config import Config
    from engine.performance import Speed
    from engine.record import Record
    from engine.report.progress import Reporter
    from engine.tracking import Tracker
    from loadgen import Ending

KEPT = "what was measured until then is in the record."


def run_job(composed: DictConfig) -> int:
    """Validate, measure, record, track and print; the exit code that says how it went."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    try:
        return _run(composed, hydra, folder)
    except TailboundError as error:
        return _complain(error)
    finally:
        if hydra.mode == RunMode.RUN:  # a sweep leaves the job's exit code there
            _remove_empty(folder)


def _run(composed: DictConfig, hydra: HydraConf, folder: Path) -> int:
    from engine.sweep import SIDE_BY_SIDE, side_by_side

    config = validate(composed)
    if config.mode == "check":
        from engine.check.command import check

        return check(config)
    overrides = [override.replace("='null'", "=null") for override in hydra.overrides.task]
    command = shlex.join(["python", "-m", "engine", *overrides])
    beside = [SIDE_BY_SIDE] if side_by_side(hydra.launcher) else []
    return benchmark(config, folder, command, beside)


def _remove_empty(folder: Path) -> None:
    """The folder that Hydra made for what leaves no record, and those above it in this one."""
    here = Path.cwd()
    with contextlib.suppress(OSError):
        while here in folder.parents:
            folder.rmdir()
            folder = folder.parent


def benchmark(config: Config, folder: Path, command: str, deviations: Sequence[str] = ()) -> int:
    """Run the benchmark and leave its record in ``folder``; ``deviations`` are known beforehand.

    Raises TailboundError, without a record, for what can be refused before anything is prepared.
    """
    from engine.plan import check
    from engine.record import Record
    from engine.report.progress import Reporter
    from engine.tracking import tracker_for

    check(config)
    if config.mode == "submit":
        from engine.submission.description import must_be_complete

        must_be_complete(config)
    record = Record(folder, config, command)
    record.data["deviations"] = list(deviations)
    with Reporter() as reporter:
        tracker = tracker_for(config, reporter.warn)
        try:
            code = _measure(config, record, tracker, reporter)
        except TailboundError as error:
            _finish(record, "FAILED", error.exit_code, str(error))
            code = _complain(error)
        except KeyboardInterrupt:
            code = _interrupted(record)
        except OSError as error:
            problem = ConfigError(
                f"{folder} cannot be written ({error.strerror or error}): make room, or set "
                "hydra.run.dir=FOLDER. What was measured until then follows."
            )
            _finish(record, "FAILED", problem.exit_code, str(problem))
            code = _complain(problem)
        except Exception:
            _finish(record, "FAILED", 1, traceback.format_exc())
            raise
    if _has_figures(record):
        _conclude(record, tracker, reporter)
    return code


def _has_figures(record: Record) -> bool:
    return any(record.data[part] for part in ("performance", "accuracy", "plan"))


def _interrupted(record: Record) -> int:
    """Close the record of what was interrupted between its runs, or before the first."""
    from engine.record import FILE

    code, what = signals.exit_code(), signals.interrupted()
    if _has_figures(record):
        _finish(record, "INTERRUPTED", code, f"{what}; {KEPT}")
        return code
    message = f"{what} before anything was measured."
    _finish(record, "INTERRUPTED", code, message)
    print(f"{message} Start it again. Record: {record.folder / FILE}", file=sys.stderr)
    return code


def _finish(record: Record, verdict: str, code: int, message: str) -> None:
    """Close the record, even where it can no longer be written."""
    with contextlib.suppress(OSError):
        record.finish(verdict, code, message)


def _measure(config: Config, record: Record, tracker: Tracker, reporter: Reporter) -> int:
    from engine.build import build
    from engine.describe import put_parts
    from engine.editions import put_editions
    from engine.performance import Speed, measure
    from engine.quality import assess

    parts = build(config, reporter.say)
    put_parts(record, parts)
    record.save()
    tracker.connect()
    if config.mode in ("profile", "plan"):
        return _plan(parts, record, reporter)
    speed = None
    if config.search.tune.enabled and config.measures_speed:
        from engine.tune import tuned

        parts = tuned(parts, record, reporter.follow, reporter.say)
        record.configured(parts.config)
        put_parts(record, parts)
    if config.measures_speed:
        speed = measure(parts, record, reporter.follow, reporter.say)
        if cut_short := _cut_short(speed.ending):
            return _failed(record, speed, *cut_short)
    passed = True
    if config.measures_quality:
        passed, ending = assess(parts, record, speed, reporter.follow, reporter.say)
        if cut_short := _cut_short(ending):
            verdict, code = cut_short
            record.finish(verdict, code, record.data["message"])
            return code
    if config.is_audited and speed is not None:
        honest, ending = _audited(parts, record, speed, reporter)
        if cut_short := _cut_short(ending):
            return _failed(record, Speed(ending, False, None), *cut_short)
        passed = passed and honest
    put_editions(record, parts.config)
    valid = passed and (speed is None or speed.valid)
    code = VALID if valid else INVALID
    record.finish("VALID" if valid else "INVALID", code, speed.message if speed else None)
    if config.mode == "submit" and speed is not None:
        return _submit(parts.config, record, speed, reporter) or code
    return code


def _audited(
    parts: Benchmark, record: Record, speed: Speed, reporter: Reporter
) -> tuple[bool, Ending]:
    """Whether the audits of the result passed; there are none where there is no result."""
    from engine.audit.audits import audit
    from loadgen import Ending
    from multirun.probing import RunFailed

    if speed.rate_qps is None:
        return False, speed.ending
    try:
        return audit(parts, record, speed, reporter.follow, reporter.say), Ending.COMPLETE
    except RunFailed as failure:
        record.data["performance"]["error"] = failure.log.error
        return False, failure.log.ending


def _submit(config: Config, record: Record, speed: Speed, reporter: Reporter) -> int:
    """Add the finished benchmark to the tree; 0, or an exit code where that cannot be done."""
    from engine.report.content import shortfalls
    from engine.submission.write import add

    closed = config.submission.division == "closed"
    if not speed.valid or (closed and record.data["verdict"] != "VALID"):
        why = "".join(f"\n  {text}" for text in shortfalls(record.data))
        reporter.say(f"not added to the submission, for the result is INVALID:{why}")
        return VALID
    try:
        reporter.say(f"added to the submission: {add(config, record)}")
    except ConfigError as error:
        return _complain(error)
    return VALID


def _plan(parts: Benchmark, record: Record, reporter: Reporter) -> int:
    from engine.capacity import measured_curve, plan
    from engine.report.plots import plan_plot

    curve = measured_curve(parts, reporter.follow)
    curve.save(record.folder / "profile.json")
    record.data["plan"] = {
        "curve": dataclasses.asdict(dataclasses.replace(curve, trace=None)),
        "slow_share": None if curve.trace is None else curve.trace.slow_share(),
    }
    if parts.config.mode == "plan":
        reporter.say("simulating the profile")
        record.data["plan"] = dataclasses.asdict(plan(parts, curve))
        if picture := plan_plot(record.data):
            picture.savefig(record.folder / "plan.png", dpi=120)
    record.finish("DONE", VALID)
    return VALID


def _cut_short(ending: Ending) -> tuple[str, int] | None:
    """Verdict and exit code of a benchmark in which a run ended so; None where it goes on."""
    from loadgen import Ending  # after the config was found good, which is said at once if not

    if ending is Ending.INTERRUPTED:
        return "INTERRUPTED", signals.exit_code()
    if ending in (Ending.SUT_ERROR, Ending.SUT_TIMEOUT):
        return "FAILED", SutError.exit_code
    return None


def _failed(record: Record, speed: Speed, verdict: str, code: int) -> int:
    from loadgen import Ending

    performance = record.data["performance"] or {}
    error = performance.get("error")
    message = speed.message
    if speed.ending is Ending.SUT_TIMEOUT:
        seconds = record.data["config"]["scenario"]["sut_timeout_s"]
        message = (
            f"The system under test gave no answer for {seconds:g} s: it hangs, or is slower than "
            "scenario.sut_timeout_s allows."
        )
    elif speed.ending is Ending.SUT_ERROR:
        message = f"The system under test failed:\n{error or 'no traceback'}"
    elif speed.ending is Ending.INTERRUPTED:
        message = f"{signals.interrupted()}; {KEPT}"
    record.finish(verdict, code, message)
    return code


def _conclude(record: Record, tracker: Tracker, reporter: Reporter) -> None:
    from engine.report.files import write_reports
    from engine.report.summary import show, summary

    report = None
    if record.data["config"]["report"]:
        try:
            report = write_reports(record.data, record.folder)
        except Exception as error:  # the result is in the record: a page must not lose it
            reporter.warn(f"no report was written ({type(error).__name__}: {error})")
    where = tracker.log(record.data, record.folder)
    show(summary(record.data))
    print(f"record: {record.folder / 'result.json'}")
    if report:
        print(f"report: {report}")
    if where:
        print(f"mlflow: {where}")


def _complain(error: TailboundError) -> int:
    print(f"error: {error}", file=sys.stderr)
    return error.exit_code
