"""The summary log: what people, and a few scripts by its labels, read first."""

from __future__ import annotations

from collections.abc import Iterator

from loadgen.official.figures import Figures
from loadgen.official.parameters import effective, token_bounds
from loadgen.official.run import FinishedRun
from loadgen.official.tokens import token_lines, token_metric
from loadgen.settings import Issue, Mode, Scenario
from loadgen.statistics import PERCENTILES

RULE = "=" * 48
LABELS = {
    "target_latency_ns": "target_latency (ns):",
    "min_duration_ms": "min_duration (ms):",
    "max_duration_ms": "max_duration (ms):",
}
# Effective settings that the summary leaves to the detail log.
LEFT_OUT = {
    "scenario",
    "test_mode",
    "target_latency_percentile",
    "target_duration_ms",
    "min_sample_count",
    "sample_concatenate_permutation",
}


def summary_lines(run: FinishedRun, figures: Figures) -> Iterator[str]:
    """The lines of the summary; of an accuracy run, only how many things went wrong."""
    if run.settings.mode is Mode.PERFORMANCE:
        for part in (_result(run, figures), _statistics(run, figures), _parameters(run)):
            yield from (f"{line}\n" for line in part)
            yield "\n"
    else:
        yield "\n"
    warnings, errors = len(figures.warnings), len(figures.errors)
    yield f"{_count(warnings, 'warning')} encountered{_where(warnings)}\n\n"
    yield f"{_count(errors, 'ERROR' if errors else 'error')} encountered{_where(errors)}\n"


def _count(number: int, noun: str) -> str:
    return f"{number or 'No'} {noun}{'' if number == 1 else 'S' if noun == 'ERROR' else 's'}"


def _where(number: int) -> str:
    return ". See detailed log." if number else " during test."


def _result(run: FinishedRun, figures: Figures) -> Iterator[str]:
    yield from _heading("Tailbound results summary")
    values = effective(run)
    # A name of several lines could pretend to be a result.
    yield f"SUT name : {' '.join(run.sut_name.split())}"
    yield f"Scenario : {values['scenario']}"
    yield f"Mode     : {values['test_mode']}"
    yield from _metric(run, figures)
    yield f"Result is : {'VALID' if figures.valid else 'INVALID'}"
    labels = {
        "perf_constraints": "Performance constraints satisfied : ",
        "min_duration": "Min duration satisfied : ",
        "min_queries": "Min queries satisfied : ",
        "early_stopping": "Early stopping satisfied: ",
    }
    for name, label in labels.items():
        if name in figures.met:
            yield f"  {label}{'Yes' if figures.met[name] else 'NO'}"
    if not figures.valid:
        yield "Recommendations:"
        yield from (f" * {' '.join(hint.split())}" for hint in figures.hints)
    for name, lines in figures.early_stopping.items():
        if lines:
            kind = name.removeprefix("early_stopping").strip("_").upper()
            yield f"{kind} Early Stopping Result:".strip()
            yield from lines


def _metric(run: FinishedRun, figures: Figures) -> Iterator[str]:
    scenario, rate = run.settings.scenario, run.verdict.statistics.completed_samples_per_s
    if scenario is Scenario.SERVER:
        if figures.completed_per_s is not None:
            yield f"Completed samples per second    : {figures.completed_per_s:.2f}"
    elif scenario is Scenario.OFFLINE:
        if rate is not None:
            yield f"Samples per second: {rate:.10g}"
    elif figures.judged_percentile_ns is not None:
        percent = run.settings.percentile
        yield f"{percent:.1f}th percentile latency (ns) : {figures.judged_percentile_ns}"
    yield from token_metric(run, figures)


def _statistics(run: FinishedRun, figures: Figures) -> Iterator[str]:
    statistics, scenario = run.verdict.statistics, run.settings.scenario
    yield from _heading("Additional Stats")
    if scenario is Scenario.SERVER and statistics.scheduled_qps is not None:
        yield f"Scheduled samples per second : {statistics.scheduled_qps:.2f}"
    elif scenario is Scenario.MULTI_STREAM:
        yield "Per-query latency:"
    elif scenario is Scenario.SINGLE_STREAM:
        rates = {"w/": statistics.completed_samples_per_s, "w/o": figures.busy_per_s}
        for word, rate in rates.items():
            if rate is not None:
                yield f"{f'QPS {word} loadgen overhead':<32}: {rate:.2f}"
        yield ""
    of = {f"p{percent:g}": f"{percent:.2f} percentile" for percent in PERCENTILES}
    multi = scenario is Scenario.MULTI_STREAM
    shown = figures.query_latency_ns if multi else figures.latency_ns
    for name, value in shown.items():
        yield f"{f'{of.get(name, name.capitalize())} latency (ns)':<32}: {value}"
    yield from token_lines(run)


def _parameters(run: FinishedRun) -> Iterator[str]:
    yield from _heading("Test Parameters Used")
    for name, value in effective(run).items():
        if name == "target_latency_ns" and run.settings.use_token_latencies:
            for bound, bound_ns in token_bounds(run.settings).items():
                yield f"{bound} (ns): {bound_ns}"
        elif name not in LEFT_OUT:
            shown = int(value) if isinstance(value, bool) else value
            yield f"{LABELS.get(name, f'{name} :')} {shown}"
    if run.settings.issue is Issue.EQUAL:
        yield "Whole permutations of the loaded set: the number of samples is rounded up to them."


def _heading(title: str) -> tuple[str, str, str]:
    return RULE, title, RULE
