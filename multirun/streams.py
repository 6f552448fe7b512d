"""The search for the largest number of streams that a system serves (paper, III-C).

A stream sends one sample an interval; the load is the number of streams, a whole number, so
there is nothing between two of them to be known: a plain search over integers, whose probes are
short and end as soon as they are decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from loadgen import Ending, Progress, RunLog, Settings, Verdict, judge
from loadgen.statistics import cluster_squares
from multirun.probing import RunFailed, Runner, decided
from multirun.search import Kind, Load, Outcome, Probe, SearchResult

# A run is looked at again when it has grown by this share: all its latencies are read then.
GROWTH = 0.05


@dataclass(frozen=True)
class StreamSettings:
    """``tolerance``: the number is looked for this exactly, as a share of it, and to one at best.

    ``probe_share``: longest probe, as a share of a full run, of ``least_queries`` at least.
    ``max_confirmations``: full runs before it gives up.
    """

    tolerance: float = 0.01
    probe_share: float = 1 / 40
    least_queries: int = 200
    max_confirmations: int = 6
    first_step: float = 0.05


def streams_of(load_qps: float, interval_ms: float) -> int:
    """The number of streams whose samples are ``load_qps`` samples/s together."""
    return round(load_qps * interval_ms / 1000)


def search_streams(
    evaluate: Callable[[Load], Probe],
    guess: int,
    interval_ms: float,
    settings: StreamSettings | None = None,
) -> SearchResult:
    """Bracket the largest number that passes, starting at ``guess``, and confirm it.

    Loads and probes give a number of streams as its samples/s (``streams_of``). After a confirming
    run that failed, the next is made at what failed less one, or less ``tolerance``.
    """
    own, found = settings or StreamSettings(), []

    def run(streams: int, kind: Kind) -> bool:
        load = Load(streams * 1000 / interval_ms, kind, own.probe_share, 1.0)
        found.append(evaluate(load))
        return found[-1].outcome is Outcome.PASS

    low = _bracketed(lambda streams: run(streams, "probe"), max(guess, 1), own)
    best, reason = None, "one stream alone fails"
    if low:
        best = _confirmed(lambda streams: run(streams, "confirm"), low, own)
        reason = "confirmed under the full rules" if best else "all confirming runs failed"
    confirms = [probe for probe in found if probe.kind == "confirm"]
    full_s = max((probe.duration_s for probe in confirms), default=math.inf)
    failed = [probe.rate_qps for probe in found if probe.outcome is Outcome.FAIL]
    return SearchResult(
        best_qps=best * 1000 / interval_ms if best else None,
        interval_qps=None,
        low_qps=max((p.rate_qps for p in found if p.outcome is Outcome.PASS), default=None),
        high_qps=min(failed, default=None),
        run_lengths=sum(probe.duration_s for probe in found) / full_s,
        probes=tuple(found),
        reason=reason,
    )


def _bracketed(passes: Callable[[int], bool], guess: int, own: StreamSettings) -> int:
    """The largest number that passed, 0 for none: steps that double, then halving."""
    low, high, streams, step = 0, None, guess, max(1, round(own.first_step * guess))
    while high is None or high - low > max(1, own.tolerance * low):
        if passes(streams):
            low = streams
        else:
            high = streams
        if high is None:
            streams, step = low + step, 2 * step
        elif low == 0:
            streams, step = max(high - step, 1), 2 * step
        else:
            streams = (low + high) // 2
    return low


def _confirmed(passes: Callable[[int], bool], first: int, own: StreamSettings) -> int | None:
    streams = first
    for _ in range(own.max_confirmations):
        if streams < 1:
            return None
        if passes(streams):
            return streams
        streams = min(streams - 1, math.floor(streams * (1 - own.tolerance)))
    return None


def evaluate_streams(
    load: Load, full: Settings, own: StreamSettings, run: Runner
) -> tuple[Probe, RunLog, Verdict]:
    """Run ``load``; ``full`` are the settings of a run at that number under the full rules.

    A probe that stays undecided passes if no more queries skip an interval than may.
    Raises RunFailed when the system breaks.
    """
    settings, interval_ms = full, full.interval_ms
    assert interval_ms is not None
    if load.kind == "probe":
        length_ms = max(full.min_duration_ms, full.min_query_count * interval_ms)
        longest_ms = max(own.probe_share * length_ms, own.least_queries * interval_ms)
        settings = replace(
            full,
            min_duration_ms=min(longest_ms, length_ms),
            max_duration_ms=None,
            min_query_count=1,
            warmup_ms=0.0,
        )
    share = 1 - full.percentile / 100
    most = share * max(full.min_query_count, full.min_duration_ms / interval_ms)

    looked_at = 0

    def watch(progress: Progress) -> bool:
        nonlocal looked_at
        if progress.completed < (1 + GROWTH) * looked_at:
            return False
        looked_at = progress.completed
        late, seen = _late(progress, interval_ms)
        if load.kind == "confirm":
            return late > most
        return decided(late, seen, share, 1.0) is not Outcome.UNDECIDED

    name = f"{load.kind} {full.samples_per_query} streams"
    log = run(settings, name, watch)
    if log.ending not in (Ending.COMPLETE, Ending.STOPPED) or len(log.failed):
        raise RunFailed(log)
    verdict = judge(log)
    return _probe(load, full, log, verdict), log, verdict


def _late(progress: Progress, interval_ms: float) -> tuple[int, int]:
    """Queries that ran on into the next interval, and those answered."""
    scheduled_ns, _, completed_ns, _ = progress.queries.arrays
    size = progress.settings.samples_per_query
    queries = len(completed_ns) // size
    ends = completed_ns[: queries * size].reshape(queries, size)
    answered = ends.min(axis=1, initial=2**62) >= 0
    latency_ns = (ends.max(axis=1, initial=-1) - scheduled_ns[:queries])[answered]
    return int((latency_ns > interval_ms * 1e6).sum()), int(answered.sum())


def _probe(load: Load, full: Settings, log: RunLog, verdict: Verdict) -> Probe:
    assert full.interval_ms is not None
    latency_ns = log.latency_ns
    late = int((latency_ns > full.interval_ms * 1e6).sum())
    allowed = (1 - full.percentile / 100) * len(latency_ns)
    passed = verdict.valid if load.kind == "confirm" else len(latency_ns) > 0 and late <= allowed
    return Probe(
        rate_qps=load.rate_qps,
        kind=load.kind,
        outcome=Outcome.PASS if passed else Outcome.FAIL,
        tail_ms=verdict.statistics.latency_ms.get(f"p{full.percentile:g}"),
        late=late,
        query_count=len(latency_ns),
        cluster_squares=cluster_squares(latency_ns / 1e6, full.interval_ms),
        duration_s=verdict.statistics.duration_s,
    )
