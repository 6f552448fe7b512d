"""Judging a run: its figures, and one row for each thing that was asked of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadgen.constraint import Constraint, surely_within, within_bound
from loadgen.log import Ending, RunLog
from loadgen.settings import Mode, Scenario, Settings
from loadgen.statistics import (
    PERCENTILES,
    ascending,
    early_stopping_count,
    latencies_ms,
    percentile,
    percentile_interval,
    percentiles,
    upper_estimate,
)
from loadgen.tokens import TokenStatistics, token_rows, token_statistics

# The latency distribution, dense where the tail is.
CDF_PERCENTS = (*range(0, 90), *(90 + k / 5 for k in range(45)), *(99 + k / 20 for k in range(21)))


@dataclass(frozen=True)
class Metric:
    """The figure of a scenario (Table II); ``how`` says how it was got."""

    name: str
    value: float | None
    unit: str
    how: str


@dataclass(frozen=True)
class Statistics:
    """Figures of one run; None where there is nothing to take them from.

    Latencies in ms over queries, from the scheduled time; rates per second of run time.
    ``latency_interval_ms``: 95 % confidence interval of each percentile, None where there are
    too few queries. ``latency_thirds_ms``: the median and the judged percentile in the first,
    second and last third of the run, which differ if the system drifts.
    ``wake_late_us``: lateness of the takes that had to wait, the generator's own error.
    ``tokens``: figures of tokens, where they were asked for.
    """

    query_count: int
    sample_count: int
    duration_s: float
    latency_ms: dict[str, float]
    latency_interval_ms: dict[str, tuple[float, float] | None]
    latency_thirds_ms: dict[str, tuple[float, float, float]]
    latency_cdf: tuple[tuple[float, float], ...]
    over_bound_count: int | None
    scheduled_qps: float | None
    completed_samples_per_s: float | None
    batch_size_mean: float | None
    batch_size_max: int | None
    wait_count: int
    late_count: int
    wake_late_us: dict[str, float]
    tokens: TokenStatistics | None = None


@dataclass(frozen=True)
class Verdict:
    """Whether a run counts, its metric, its figures, and why."""

    valid: bool
    metric: Metric
    constraints: tuple[Constraint, ...]
    statistics: Statistics

    @property
    def missed(self) -> tuple[Constraint, ...]:
        """The constraints that were not met."""
        return tuple(row for row in self.constraints if not row.passed)


def judge(log: RunLog, settings: Settings | None = None) -> Verdict:
    """The verdict on ``log`` under ``settings`` (by default those it ran with)."""
    settings = settings or log.settings
    statistics = summarise(log, settings)
    rows = [_ended(log), _answered(log)]
    if settings.mode is Mode.PERFORMANCE:
        rows += [_duration(log, settings, statistics), _count(settings, statistics)]
        if settings.scenario is Scenario.SERVER:
            rows += _bounds(settings, statistics)
        elif settings.interval_ms is not None:
            rows.append(_skipped(log, settings))
        elif settings.confidence is not None and settings.scenario is not Scenario.OFFLINE:
            rows.append(_enough(settings, statistics))
        if settings.scenario is Scenario.SERVER or settings.interval_ms is not None:
            rows.append(_punctual(settings, statistics))
    if settings.use_token_latencies:
        rows += token_rows(log, settings, statistics.tokens)
    valid = all(row.passed for row in rows)
    return Verdict(valid, _metric(log, settings, statistics), tuple(rows), statistics)


def summarise(log: RunLog, settings: Settings) -> Statistics:
    """The figures of ``log``."""
    latency_ns = ascending(log.latency_ns)
    late_ns = log.lateness_ns
    duration_s = float(log.completed_ns.max(initial=0)) / 1e9
    done = int(log.done.sum())
    sizes = log.batch_sizes
    arrivals_s = float(log.scheduled_ns[-1]) / 1e9 if len(log.scheduled_ns) else 0.0
    return Statistics(
        query_count=len(log.scheduled_ns),
        sample_count=done,
        duration_s=duration_s,
        latency_ms=latencies_ms(latency_ns, settings.percentile),
        latency_interval_ms=_intervals(latency_ns, settings.percentile),
        latency_thirds_ms=_thirds(log.latency_ns, settings.percentile),
        latency_cdf=tuple(
            (percent, percentile(latency_ns, percent) / 1e6) for percent in CDF_PERCENTS
        )
        if len(latency_ns)
        else (),
        over_bound_count=_over_bound(latency_ns, settings.bound_ms),
        scheduled_qps=(len(log.scheduled_ns) - 1) / arrivals_s if arrivals_s > 0 else None,
        completed_samples_per_s=done / duration_s if duration_s > 0 else None,
        batch_size_mean=float(sizes.mean()) if len(sizes) else None,
        batch_size_max=int(sizes.max()) if len(sizes) else None,
        wait_count=len(late_ns),
        late_count=int((late_ns > settings.late_ms * 1e6).sum()),
        wake_late_us=_lateness(late_ns),
        tokens=token_statistics(log, settings),
    )


def _over_bound(ordered_ns: np.ndarray, bound_ms: float | None) -> int | None:
    if bound_ms is None:
        return None
    # Latencies are whole, and compared as what they are: for a float NumPy would copy them all.
    within_ns = min(int(bound_ms * 1e6), np.iinfo(ordered_ns.dtype).max)
    return len(ordered_ns) - int(np.searchsorted(ordered_ns, within_ns, side="right"))


def _intervals(ordered_ns: np.ndarray, judged: float) -> dict[str, tuple[float, float] | None]:
    percents = sorted({*PERCENTILES, judged})
    found = {percent: percentile_interval(ordered_ns, percent) for percent in percents}
    return {
        f"p{percent:g}": None if ends is None else (ends[0] / 1e6, ends[1] / 1e6)
        for percent, ends in found.items()
    }


def _thirds(latency_ns: np.ndarray, judged: float) -> dict[str, tuple[float, float, float]]:
    if len(latency_ns) < 3:
        return {}
    thirds = np.array_split(latency_ns, 3)
    (a, b, c), (x, y, z) = zip(
        *(percentiles(third, (50.0, judged)) for third in thirds), strict=True
    )
    return {"p50": (a / 1e6, b / 1e6, c / 1e6), f"p{judged:g}": (x / 1e6, y / 1e6, z / 1e6)}


def _lateness(late_ns: np.ndarray) -> dict[str, float]:
    if len(late_ns) == 0:
        return {}
    p50, p99, most = percentiles(late_ns, (50.0, 99.0, 100.0))
    return {"p50": p50 / 1e3, "p99": p99 / 1e3, "max": most / 1e3}


def _metric(log: RunLog, settings: Settings, statistics: Statistics) -> Metric:
    per_second = statistics.completed_samples_per_s
    if settings.mode is Mode.ACCURACY:
        return Metric("samples_per_s", per_second, "samples/s", "accuracy run, not a speed figure")
    if settings.scenario is Scenario.SERVER:
        return Metric(
            "server_qps",
            settings.target_qps,
            "queries/s",
            f"rate of the {settings.arrivals} arrivals",
        )
    if settings.scenario is Scenario.OFFLINE:
        return Metric(
            "offline_samples_per_s", per_second, "samples/s", "samples / time of the last answer"
        )
    if settings.interval_ms is not None:
        how = f"samples per query, one query every {settings.interval_ms:g} ms"
        return Metric("streams", settings.samples_per_query, "streams", how)
    name = f"{settings.scenario}_p{settings.percentile:g}_latency_ms"
    ordered = ascending(log.latency_ns)
    if settings.confidence is None:
        value = percentile(ordered, settings.percentile) if len(ordered) else None
        how = f"{settings.percentile:g}th percentile of the query latency"
    else:
        value = upper_estimate(ordered, settings.percentile, settings.confidence)
        how = (
            f"{settings.percentile:g}th percentile of the query latency, "
            f"upper estimate at {settings.confidence:.0%} confidence"
        )
    return Metric(name, None if value is None else value / 1e6, "ms", how)


def _ended(log: RunLog) -> Constraint:
    hints = {
        Ending.COMPLETE: "",
        Ending.STOPPED: "the run was ended early because it could no longer pass",
        Ending.INTERRUPTED: "the run was interrupted; start it again",
        Ending.SUT_ERROR: "the system under test failed; its first traceback is in the result",
        Ending.SUT_TIMEOUT: "the system under test fell silent; see scenario.sut_timeout_s",
    }
    complete = log.ending is Ending.COMPLETE
    return Constraint("ending", "complete", str(log.ending), complete, hints[log.ending])


def _answered(log: RunLog) -> Constraint:
    # What was in hand when a run was ended from outside was not lost.
    ended_outside = log.ending in (Ending.STOPPED, Ending.INTERRUPTED)
    lost = log.lost[:0] if ended_outside else log.lost
    # Nothing was open any more once all had been answered.
    complete = log.ending is Ending.COMPLETE
    wrong = {
        "failed": len(log.failed),
        "lost": len(lost),
        "repeated": log.repeated,
        "unknown": log.unknown,
        "after the end": log.after_end if complete else 0,
    }
    found = [f"{count} {name}" for name, count in wrong.items() if count]
    ids = ", ".join(str(i) for i in [*log.failed[:5], *lost[:5]])
    hint = f"every sample must be answered once; first ids: {ids}" if found else ""
    return Constraint("answers", "each sample once", ", ".join(found) or "all", not found, hint)


def _duration(log: RunLog, settings: Settings, statistics: Statistics) -> Constraint:
    issued_s = float(log.scheduled_ns[-1]) / 1e9 if len(log.scheduled_ns) else 0.0
    measured_s = statistics.duration_s if settings.scenario is Scenario.OFFLINE else issued_s
    passed = measured_s * 1000 >= settings.min_duration_ms
    hint = (
        "raise scenario.target_qps, which sets how many samples there are"
        if settings.scenario is Scenario.OFFLINE
        else "let the run last longer (min_duration)"
    )
    return Constraint(
        "min_duration",
        f">= {settings.min_duration_ms / 1000:g} s",
        f"{measured_s:.3f} s",
        passed,
        "" if passed else hint,
    )


def _count(settings: Settings, statistics: Statistics) -> Constraint:
    if settings.scenario is Scenario.OFFLINE:
        name, required, measured = "min_samples", settings.min_sample_count, statistics.sample_count
    else:
        name, required, measured = "min_queries", settings.min_query_count, statistics.query_count
    passed = measured >= required
    hint = "" if passed else f"let the run have at least {required:,} (min_query_count)"
    return Constraint(name, f">= {required:,}", f"{measured:,}", passed, hint)


def _bounds(settings: Settings, statistics: Statistics) -> list[Constraint]:
    """The latency bound of a server; where tokens are judged, theirs take its place."""
    if settings.use_token_latencies:
        return []
    assert settings.bound_ms is not None
    name = f"p{settings.percentile:g}"
    rows = [within_bound(f"{name}_latency", statistics.latency_ms.get(name), settings.bound_ms)]
    if settings.confidence is not None:
        over = statistics.over_bound_count or 0
        rows.append(surely_within("early_stopping", statistics.query_count, over, settings))
    return rows


def _skipped(log: RunLog, settings: Settings) -> Constraint:
    """v0.5 multi-stream: few queries may run on into the next interval (paper, III-C)."""
    assert settings.interval_ms is not None
    queries, allowed = len(log.latency_ns), 1 - settings.percentile / 100
    skipping = int((log.latency_ns > settings.interval_ms * 1e6).sum())
    passed = queries > 0 and skipping <= allowed * queries
    return Constraint(
        "skipped_intervals",
        f"<= {allowed:.3g} of queries skip an interval of {settings.interval_ms:g} ms",
        f"{skipping:,} of {queries:,}",
        passed,
        "" if passed else "lower the number of streams, or make the system faster",
    )


def _enough(settings: Settings, statistics: Statistics) -> Constraint:
    """The early-stopping test of a closed loop: its percentile can be estimated."""
    assert settings.confidence is not None
    queries = statistics.query_count
    needed = early_stopping_count(1, settings.percentile, settings.confidence)
    passed = queries >= needed
    hint = f"the percentile is not sure with fewer: set min_query_count to {needed:,}"
    required = f">= {needed:,} queries"
    return Constraint("early_stopping", required, f"{queries:,}", passed, "" if passed else hint)


def _punctual(settings: Settings, statistics: Statistics) -> Constraint:
    waits, late = statistics.wait_count, statistics.late_count
    share = late / waits if waits else 0.0
    passed = share <= settings.max_late_share
    return Constraint(
        "punctual_generator",
        f"<= {settings.max_late_share:.1%} of wake-ups over {settings.late_ms:g} ms late",
        f"{share:.2%} ({late:,} of {waits:,})",
        passed,
        "" if passed else "the machine is too busy to keep the schedule; end other programs",
    )
