"""The figures of a run under the definitions of the log format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loadgen.official.run import FinishedRun
from loadgen.settings import Mode, Scenario
from loadgen.statistics import allowed_over, early_stopping_count
from loadgen.verdict import PERCENTILES, Constraint, Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFERRED_PERCENT = 99.0


@dataclass(frozen=True)
class Figures:
    """Latencies in ns, rates per second; None for what the run does not have.

    ``met``: whether each of the format's four demands was met, as far as it was made.
    ``early_stopping``: lines about the early-stopping test.
    ``completed_per_s``: answers per second, of which the first only starts the count.
    ``busy_per_s``: queries per second of latency, which leaves out the generator's own time.
    ``errors``: what went wrong that the format has no key for; with any, a run is not valid.
    """

    valid: bool
    met: dict[str, bool]
    hints: tuple[str, ...]
    early_stopping: tuple[str, ...]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    latency_ns: dict[str, int]
    completed_per_s: float | None
    busy_per_s: float | None
    judged_percentile_ns: int | None
    estimate_ns: int | None
    inferred_estimate_ns: int | None


def figures(run: FinishedRun) -> Figures:
    """The figures of ``run``."""
    demands = {row.name: _demand(row) for row in run.verdict.constraints}
    met = {
        name: row.passed
        for row in run.verdict.constraints
        if (name := demands[row.name]) is not None
    }
    if run.settings.scenario is Scenario.OFFLINE and run.settings.confidence is not None:
        met["early_stopping"] = True  # The format says so: Offline has no such test.
    errors = _errors(run, [row for row in run.verdict.missed if demands[row.name] is None])
    ordered = _Ordered(run.log.latency_ns) if run.settings.scenario.closed_loop else _Ordered()
    tested = "early_stopping" in met
    judged = run.settings.percentile
    estimate_ns = ordered.estimate(run, judged) if tested else None
    inferred_ns = ordered.estimate(run, INFERRED_PERCENT) if tested else None
    latency_ns = _latencies(run.verdict.statistics)
    return Figures(
        valid=run.verdict.valid and not errors,
        met=met if run.settings.mode is Mode.PERFORMANCE else {},
        hints=tuple(row.hint for row in run.verdict.missed),
        early_stopping=tuple(_early_stopping(run, estimate_ns, inferred_ns)) if tested else (),
        errors=errors,
        warnings=_warnings(run),
        latency_ns=latency_ns,
        completed_per_s=_completed_per_s(run.verdict.statistics),
        busy_per_s=1e9 / mean_ns if (mean_ns := latency_ns.get("mean")) else None,
        judged_percentile_ns=ordered.percentile(judged),
        estimate_ns=estimate_ns,
        inferred_estimate_ns=inferred_ns,
    )


def _demand(row: Constraint) -> str | None:
    """Which of the format's demands a constraint of ours is."""
    named = {
        "min_duration": "min_duration",
        "min_queries": "min_queries",
        "min_samples": "min_queries",
        "early_stopping": "early_stopping",
        "skipped_intervals": "perf_constraints",
    }
    latency = row.name.startswith("p") and row.name.endswith("_latency")
    return "perf_constraints" if latency else named.get(row.name)


def _errors(run: FinishedRun, missed: list[Constraint]) -> tuple[str, ...]:
    traceback = [run.log.error] if run.log.error else []
    rows = [
        f"{row.name}: required {row.required}, measured {row.measured}: {row.hint}"
        for row in missed
    ]
    return (*rows, *traceback)


def _warnings(run: FinishedRun) -> tuple[str, ...]:
    late = run.log.after_end
    return (f"{late} answers came after the end of the run",) if late else ()


class _Ordered:
    """Latencies of which single places of the ascending order are wanted."""

    def __init__(self, latency_ns: NDArray[np.int64] | None = None) -> None:
        self.latency_ns = np.empty(0, np.int64) if latency_ns is None else latency_ns

    def place(self, place: int) -> int:
        return int(np.partition(self.latency_ns, place)[place])

    def percentile(self, percent: float) -> int | None:
        count = len(self.latency_ns)
        return self.place(min(count - 1, int(count * (percent / 100)))) if count else None

    def estimate(self, run: FinishedRun, percent: float) -> int | None:
        """The early-stopping estimate, None where there are too few queries for one."""
        assert run.settings.confidence is not None
        count = len(self.latency_ns)
        over = allowed_over(count, percent, run.settings.confidence)
        return self.place(count - over) if over >= 1 else None


def _latencies(statistics: Statistics) -> dict[str, int]:
    """min, max, mean (rounded down) and the percentiles, by the names of the statistics."""
    of = statistics.latency_ms
    names = ("min", "max", "mean", *(f"p{percent:g}" for percent in PERCENTILES))
    return {name: _ns(of[name], name == "mean") for name in names if name in of}


def _completed_per_s(statistics: Statistics) -> float | None:
    if statistics.sample_count < 2 or statistics.duration_s <= 0:
        return None
    return (statistics.sample_count - 1) / statistics.duration_s


def _ns(milliseconds: float, down: bool) -> int:
    # A whole number of ns that went through ms comes back within a hair of itself.
    return int(milliseconds * 1e6 + 1e-3) if down else round(milliseconds * 1e6)


def _early_stopping(
    run: FinishedRun, estimate_ns: int | None, inferred_ns: int | None
) -> list[str]:
    settings, statistics = run.settings, run.verdict.statistics
    assert settings.confidence is not None
    if settings.scenario is Scenario.OFFLINE:
        return []
    queries, judged = statistics.query_count, settings.percentile
    if settings.scenario is Scenario.SERVER:
        over = statistics.over_bound_count or 0
        more = early_stopping_count(over, judged, settings.confidence) - queries
        seen = f" * {queries} queries, {over} of them over the latency bound."
        return [seen, f" * {more} more would be needed, all within it."] if more > 0 else [seen]
    lines = [f" * {queries} queries."]
    wanted = {judged: estimate_ns}
    if settings.scenario is Scenario.SINGLE_STREAM:
        wanted.setdefault(INFERRED_PERCENT, inferred_ns)
    for percent, value in wanted.items():
        least = early_stopping_count(1, percent, settings.confidence)
        if value is None:
            lines.append(f" * No estimate of the {percent:.1f}th percentile: it needs {least}.")
        else:
            lines.append(f" * Early stopping {percent:.1f}th percentile estimate: {value}")
    return lines
