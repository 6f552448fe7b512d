"""Metric and verdict of a run, computed again from the facts in its logs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from engine.published.logs import Facts, Log
from loadgen.statistics import early_stopping_count

# The recorded figures are rounded, and count the first or last query differently.
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Metric:
    """``reported`` and ``recomputed``: in ``unit``; None where the logs lack what it takes."""

    name: str
    unit: str
    reported: float | None
    recomputed: float | None

    @property
    def value(self) -> float | None:
        """The recomputed figure, or else the reported one."""
        return self.reported if self.recomputed is None else self.recomputed

    @property
    def agrees(self) -> bool:
        """Whether both are there and the same, as far as their rounding lets one see."""
        if self.reported is None or self.recomputed is None:
            return self.reported is not None
        return abs(self.reported - self.recomputed) <= TOLERANCE * abs(self.reported) + 5e-3


@dataclass(frozen=True)
class Check:
    """One demand on a run, and whether the logs show that it was met."""

    name: str
    passed: bool
    says: str


def metric(scenario: str, facts: Facts) -> Metric:
    """The scenario's metric. Rounds up to v4 count a server's scheduled queries, later answers."""
    match scenario:
        case "server":
            scheduled = number(facts, "result_scheduled_samples_per_sec")
            completed = number(facts, "result_completed_samples_per_sec")
            later = major(facts) >= 5
            reported = completed if later or scheduled is None else scheduled
            # The first query only starts the count.
            recomputed = None if later else _per_s(facts, "generated_query_duration", 1)
            return Metric("server_qps", "queries/s", reported, recomputed)
        case "offline":
            reported = number(facts, "result_samples_per_second")
            again = _per_s(facts, "result_max_latency_ns")
            return Metric("offline_samples_per_s", "samples/s", reported, again)
        case "single_stream":
            judged = number(facts, "result_90.00_percentile_latency_ns")
            estimate = number(facts, "early_stopping_latency_ss")
            name = "single_stream_p90_latency_ms"
            if estimate is not None:  # of which the logs give only what it must not be below
                return Metric(name, "ms", _ms(estimate), None)
            return Metric(name, "ms", _ms(judged), _ms(judged))
    if (estimate := number(facts, "early_stopping_latency_ms")) is not None:
        return Metric("multi_stream_p99_latency_ms", "ms", _ms(estimate), None)
    streams = number(facts, "effective_samples_per_query")
    return Metric("streams", "streams", number(facts, "result_samples_per_query"), streams)


def checks(scenario: str, log: Log, usual: float = 99) -> Iterator[Check]:
    """The demands of the run's own settings, as far as the logs allow to check them.

    ``usual``: the percentile of the latency where the logs do not say which; summaries do not.
    """
    facts = log.facts
    yield from _at_least("duration", "ms", duration_ms(scenario, facts), facts, "min_duration_ms")
    yield from _at_least("queries", "", query_count(scenario, facts), facts, "min_query_count")
    yield from _estimates(facts)
    share = number(facts, "effective_target_latency_percentile")
    percentile = 100 * share if share else usual
    if scenario == "multi_stream":
        skipped = number(facts, f"intervals_{percentile:.2f}")
        if skipped is not None:
            says = f"{percentile:g} % of queries took {skipped:g} interval(s)"
            yield Check("intervals", skipped < 2, says)
    if scenario != "server":
        return
    bound_ms = _ms(number(facts, "effective_target_latency_ns"))
    tail_ms = _ms(number(facts, f"result_{percentile:.2f}_percentile_latency_ns"))
    if bound_ms is not None and tail_ms is not None:
        says = f"{percentile:g}th percentile {tail_ms:g} ms, bound {bound_ms:g} ms"
        yield Check("latency", tail_ms <= bound_ms, says)
    over = number(facts, "result_overlatency_query_count")
    queries = number(facts, "result_query_count")
    if "early_stopping_met" not in facts or over is None or queries is None:
        return
    if 0 <= over <= 10**9 and 50 <= percentile <= 99.99:
        needed = early_stopping_count(int(over), percentile)
        says = f"{over:,.0f} over the bound need {needed:,} queries, there are {queries:,.0f}"
        yield Check("early_stopping", queries >= needed, says)


def _estimates(facts: Facts) -> Iterator[Check]:
    """An early-stopping estimate lies at or above the percentile that it is of."""
    pairs = {
        "early_stopping_latency_ss": "result_90.00_percentile_latency_ns",
        "early_stopping_latency_ms": "result_99.00_percentile_per_query_latency_ns",
    }
    for key, percentile in pairs.items():
        estimate, judged = number(facts, key), number(facts, percentile)
        if estimate is not None and judged is not None:
            says = f"{key} {estimate:,.0f} ns, the percentile itself {judged:,.0f} ns"
            yield Check("estimate", estimate >= judged, says)


def _at_least(
    name: str, unit: str, measured: float | None, facts: Facts, setting: str
) -> Iterator[Check]:
    least = number(facts, f"effective_{setting}")
    if measured is not None and least is not None:
        says = f"{measured:,.0f} {unit}".strip() + f", at least {least:,.0f}"
        # The times of day that a duration is taken from are rounded to 1 ms.
        yield Check(name, measured >= least * (1 - TOLERANCE), says)


def duration_ms(scenario: str, facts: Facts) -> float | None:
    """How long the run took, in ms, by its schedule, its last answer or the time of day."""
    if scenario == "server":
        return _ms(number(facts, "generated_query_duration"))
    if scenario == "offline":
        return _ms(number(facts, "result_max_latency_ns"))
    try:
        began, ended = (
            datetime.strptime(str(facts[f"power_{end}"]), "%m-%d-%Y %H:%M:%S.%f")
            for end in ("begin", "end")
        )
    except (KeyError, ValueError):
        return None
    return (ended - began).total_seconds() * 1000


def query_count(scenario: str, facts: Facts) -> float | None:
    """How many queries the run had; of a closed loop of v0.5, from its rate and duration."""
    if (counted := number(facts, "result_query_count")) is not None and scenario != "offline":
        return counted
    if scenario in ("server", "offline"):
        return number(facts, "generated_query_count")
    rate, long_ms = number(facts, "result_qps_with_loadgen_overhead"), duration_ms(scenario, facts)
    return None if rate is None or long_ms is None else rate * long_ms / 1000


def major(facts: Facts) -> int:
    """The round's major number, by the load generator's version; -1 where that is not known."""
    found = re.match(r"\s*v?(\d{0,3})\.", str(facts.get("loadgen_version", "")))
    return int(found[1] or 0) if found else -1


def number(facts: Facts, key: str) -> float | None:
    """A fact, if it is a number."""
    value = facts.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e300 else None


def _per_s(facts: Facts, duration: str, uncounted: int = 0) -> float | None:
    """Samples, all but ``uncounted`` queries', over a duration in ns."""
    queries, each = (
        number(facts, f"generated_{name}") for name in ("query_count", "samples_per_query")
    )
    long_ns = number(facts, duration)
    if queries is None or each is None or not long_ns or long_ns <= 0:
        return None
    return (queries - uncounted) * each / long_ns * 1e9


def _ms(ns: float | None) -> float | None:
    return None if ns is None else ns / 1e6
