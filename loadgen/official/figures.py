"""The figures of a run under the definitions of the log format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from loadgen.constraint import Constraint
from loadgen.official.run import FinishedRun
from loadgen.settings import Mode, Scenario
from loadgen.statistics import PERCENTILES, allowed_over, early_stopping_count, percentiles
from loadgen.tokens import token_latencies_ns
from loadgen.verdict import Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

INFERRED_PERCENT = 99.0


@dataclass(frozen=True)
class Figures:
    """Latencies in ns, rates per second; None for what the run does not have.

    ``latency_ns``, ``query_latency_ns``: of samples, and of whole queries.
    ``met``: whether each of the format's four demands was met, as far as it was made.
    ``early_stopping``: lines about the early-stopping tests, by the tests' names.
    ``completed_per_s``: answers per second, of which the first only starts the count.
    ``busy_per_s``: queries per second of latency, which leaves out the generator's own time.
    ``errors``: what went wrong that the format has no key for; with any, a run is not valid.
    """

    valid: bool
    met: dict[str, bool]
    hints: tuple[str, ...]
    early_stopping: dict[str, tuple[str, ...]]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]
    latency_ns: dict[str, int]
    query_latency_ns: dict[str, int]
    completed_per_s: float | None
    busy_per_s: float | None
    judged_percentile_ns: int | None
    judged_first_token_ns: int | None
    estimate_ns: int | None
    inferred_estimate_ns: int | None


def figures(run: FinishedRun) -> Figures:
    """The figures of ``run``."""
    demands = {row.name: _demand(row) for row in run.verdict.constraints}
    met: dict[str, bool] = {}
    for row in run.verdict.constraints:
        if (name := demands[row.name]) is not None:
            met[name] = met.get(name, True) and row.passed
    if run.settings.scenario is Scenario.OFFLINE and run.settings.confidence is not None:
        met["early_stopping"] = True  # The format says so: Offline has no such test.
    errors = _errors(run, [row for row in run.verdict.missed if demands[row.name] is None])
    tests = _tests(run) if "early_stopping" in met else {}
    estimates = {name: test.estimates(run) for name, test in tests.items()}
    estimate_ns, inferred_ns = next(iter(estimates.values()), (None, None))
    closed = run.settings.scenario.closed_loop
    judged = run.settings.percentile
    query_latency_ns = whole_ns(run.verdict.statistics.latency_ms)
    whole = run.settings.scenario in (Scenario.SERVER, Scenario.SINGLE_STREAM)
    return Figures(
        valid=run.verdict.valid and not errors,
        met=met if run.settings.mode is Mode.PERFORMANCE else {},
        hints=tuple(row.hint for row in run.verdict.missed),
        early_stopping={
            name: tuple(_early_stopping(run, test, *estimates[name]))
            for name, test in tests.items()
        },
        errors=errors,
        warnings=_warnings(run),
        latency_ns=query_latency_ns if whole else _of_samples(run.log.sample_latency_ns),
        query_latency_ns=query_latency_ns,
        completed_per_s=_completed_per_s(run.verdict.statistics),
        busy_per_s=1e9 / mean_ns if (mean_ns := query_latency_ns.get("mean")) else None,
        judged_percentile_ns=_Tested(run.log.latency_ns).percentile(judged) if closed else None,
        judged_first_token_ns=_Tested(token_latencies_ns(run.log)[0]).percentile(judged)
        if closed
        else None,
        estimate_ns=estimate_ns,
        inferred_estimate_ns=inferred_ns,
    )


def _demand(row: Constraint) -> str | None:
    """Which of the format's demands a constraint of ours is."""
    named = {
        "min_duration": "min_duration",
        "min_queries": "min_queries",
        "min_samples": "min_queries",
        "skipped_intervals": "perf_constraints",
    }
    if row.name.startswith("early_stopping"):
        return "early_stopping"
    latency = row.name.startswith("p") and row.name.endswith(("_latency", "_ttft", "_tpot"))
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


@dataclass(frozen=True)
class _Tested:
    """Values, in any order, that the early-stopping test is about; how many are over a bound."""

    values_ns: NDArray[np.int64]
    over: int = 0

    def place(self, place: int) -> int:
        return int(np.partition(self.values_ns, place)[place])

    def percentile(self, percent: float) -> int | None:
        count = len(self.values_ns)
        return self.place(min(count - 1, int(count * (percent / 100)))) if count else None

    def estimates(self, run: FinishedRun) -> tuple[int | None, int | None]:
        """The estimates of the judged percentile and of the one that is inferred from it."""
        if not run.settings.scenario.closed_loop:
            return None, None
        return self.estimate(run, run.settings.percentile), self.estimate(run, INFERRED_PERCENT)

    def estimate(self, run: FinishedRun, percent: float) -> int | None:
        """The early-stopping estimate, None where there are too few values for one."""
        assert run.settings.confidence is not None
        count = len(self.values_ns)
        over = allowed_over(count, percent, run.settings.confidence)
        return self.place(count - over) if over >= 1 else None


def _tests(run: FinishedRun) -> dict[str, _Tested]:
    """What the early-stopping tests are about: the latency, or both times of tokens.

    Of multi-stream the format has the latency under both names.
    """
    tokens = run.verdict.statistics.tokens
    whole = _Tested(run.log.latency_ns, run.verdict.statistics.over_bound_count or 0)
    if tokens is None:
        return {"early_stopping": whole}
    if run.settings.scenario is Scenario.MULTI_STREAM:
        return {"early_stopping_ttft": whole, "early_stopping_tpot": whole}
    ttft_ns, tpot_ns = token_latencies_ns(run.log)
    return {
        "early_stopping_ttft": _Tested(ttft_ns, tokens.ttft_over_count or 0),
        "early_stopping_tpot": _Tested(tpot_ns, tokens.tpot_over_count or 0),
    }


def _of_samples(latency_ns: NDArray[np.int64]) -> dict[str, int]:
    if len(latency_ns) == 0:
        return {}
    lowest, highest = int(latency_ns.min()), int(latency_ns.max())
    extremes = {"min": lowest, "max": highest, "mean": int(latency_ns.sum()) // len(latency_ns)}
    places = percentiles(latency_ns, PERCENTILES)
    return {**extremes, **{f"p{p:g}": at for p, at in zip(PERCENTILES, places, strict=True)}}


def whole_ns(of: dict[str, float]) -> dict[str, int]:
    """min, max, mean (rounded down) and the percentiles, from ms, by the same names."""
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
    run: FinishedRun, test: _Tested, estimate_ns: int | None, inferred_ns: int | None
) -> list[str]:
    settings = run.settings
    assert settings.confidence is not None
    if settings.scenario is Scenario.OFFLINE:
        return []
    queries, judged = len(test.values_ns), settings.percentile
    if settings.scenario is Scenario.SERVER:
        more = early_stopping_count(test.over, judged, settings.confidence) - queries
        seen = f" * {queries} queries, {test.over} of them over the latency bound."
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
