"""What is wrong with the performance runs of a result, beyond what reading them shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from engine.published.logs import Facts
from engine.published.recompute import number
from loadgen import Scenario, Settings
from loadgen._traffic import loaded_sets

Said = Iterator[tuple[str, str]]

MOST_SAMPLES = 10_000_000
SPECIAL = ("unique", "same")
PERCENTILES = ("50.00", "90.00", "95.00", "97.00", "99.00", "99.90")


def run_findings(scenario: str, facts: Facts) -> Said:
    """Kind and sentence of each thing wrong with one performance run."""
    if facts.get("result_validity") != "VALID":
        yield "invalid", f"the run is {facts.get('result_validity')}"
    mode = facts.get("effective_test_mode", "PerformanceOnly")
    if mode not in ("PerformanceOnly", "Performance", "performance"):
        yield "rules", f"its test mode is {mode}, not PerformanceOnly"
    for issue in SPECIAL:
        if facts.get(f"effective_performance_issue_{issue}") not in (None, False, 0, "false"):
            yield "rules", f"it issued {issue} samples, which only audits do"
    yield from _out_of_order(facts)
    yield from _foreign_set(scenario, facts)
    counted = number(facts, "num_errors")
    if counted:
        yield "error", f"its log counts {counted:g} errors"


def _out_of_order(facts: Facts) -> Said:
    """Least, percentiles and greatest of the latency must rise, and the mean lie within."""
    for form in ("{}_latency_ns", "{}_per_query_latency_ns", "{}_query_latency_ns"):
        ends = form.replace("_per_query", "_query")
        names = [
            f"result_{ends.format('min')}",
            *(f"result_{form.format(p + '_percentile')}" for p in PERCENTILES),
            f"result_{ends.format('max')}",
        ]
        there = [(name, value) for name in names if (value := number(facts, name)) is not None]
        for (low, less), (high, more) in pairwise(there):
            if less > more:
                yield "disagreement", f"{low} {less:,.0f} is above {high} {more:,.0f}"
        mean = number(facts, f"result_{ends.format('mean')}")
        if mean is not None and len(there) > 1 and not there[0][1] <= mean <= there[-1][1]:
            yield "disagreement", f"the mean latency {mean:,.0f} ns is not between the extremes"


def _foreign_set(scenario: str, facts: Facts) -> Said:
    """The samples that were loaded follow from the seed; of older logs they are not known."""
    had = facts.get("loaded_qsl_set")
    names = ("qsl_reported_total_count", "effective_performance_sample_count")
    seed, *counts = (facts.get(name) for name in ("effective_qsl_rng_seed", *names))
    if not isinstance(had, list) or not isinstance(seed, int) or not 0 <= seed < 2**64:
        return
    total, loaded = (count if isinstance(count, int) else 0 for count in counts)
    if not 0 < loaded <= total <= MOST_SAMPLES:
        return
    each = number(facts, "effective_samples_per_query") or 1
    wanted = [
        _loaded(scenario, seed, traffic, int(each), total, loaded) for traffic in ("v6", "v5")
    ]
    if not any(_same(had, one) for one in wanted):
        yield "disagreement", "the samples that it loaded are not those that its seed chooses"


def _loaded(
    scenario: str, seed: int, traffic: str, each: int, total: int, loaded: int
) -> list[int]:
    several = scenario == "multi_stream" and 0 < each <= loaded
    settings = Settings(
        scenario=Scenario(scenario),
        target_qps=1.0,
        bound_ms=1.0 if scenario == "server" else None,
        samples_per_query=each if several else 1,
        qsl_seed=seed,
        traffic=traffic,
    )
    return loaded_sets(settings, total, loaded)[0].tolist()


def _same(had: Sequence[object], wanted: list[int]) -> bool:
    """Whether a log's list is the set; multi-stream's repeats its first samples at the end."""
    try:
        return bool(np.array_equal(np.asarray(had, np.int64)[: len(wanted)], wanted))
    except (TypeError, ValueError, OverflowError):
        return False
