"""One run of a search: shorter than the rules ask for, and ended as soon as it has decided."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import betainc

from loadgen import Ending, Progress, RunLog, Settings, Verdict, judge
from loadgen.progress import Watch
from loadgen.statistics import allowed_over, cluster_squares
from loadgen.tokens import token_latencies_ns
from multirun.belief import Target
from multirun.search import Load, Outcome, Probe

# Runs one set of settings; the text names the run.
Runner = Callable[[Settings, str, Watch | None], RunLog]

# A decision is taken when the other one has at most this probability, ...
DOUBT = 1e-3
# ... and late queries count as independent only if there are more than in one common cluster.
LEAST_CLUSTER = 4.0
# The queue of a short run starts empty: so much of it says too little of the rate.
LEAD_IN = 0.1


class RunFailed(Exception):
    """A run inside a search did not end by itself; ``log`` is its record."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(str(log.ending))
        self.log = log


def target_of(full: Settings) -> Target:
    """What a run under the full rules must achieve before it has to extend itself."""
    queries = query_count(full)
    if full.confidence is None:
        return Target(queries, math.floor(queries * (1 - full.percentile / 100) + 1e-9))
    return Target(queries, allowed_over(queries, full.percentile, full.confidence))


def query_count(settings: Settings) -> int:
    """About how many queries a run has that does not extend itself."""
    by_time = int(_rate(settings) * settings.min_duration_ms / 1000)
    return max(settings.min_query_count, by_time)


def run_length_s(full: Settings) -> float:
    """About how long such a run takes."""
    return query_count(full) / _rate(full)


def _rate(settings: Settings) -> float:
    assert settings.target_qps is not None
    return settings.target_qps


def evaluate(load: Load, full: Settings, seed: int, run: Runner) -> tuple[Probe, RunLog, Verdict]:
    """Run ``load``; ``full`` are the settings of a run at its rate under the full rules.

    ``seed`` shifts the schedule of a probe. Raises RunFailed when the system breaks.
    """
    settings = full
    if load.kind == "probe":
        settings = replace(
            full,
            min_duration_ms=load.share * run_length_s(full) * 1000,
            max_duration_ms=None,
            min_query_count=1,
            extend=False,
            confidence=None,
            warmup_ms=0.0,
            schedule_seed=(full.schedule_seed + seed) % 2**64,
        )
    log = run(settings, f"{load.kind} {load.rate_qps:.4g} qps", _watch(load, full))
    if log.ending not in (Ending.COMPLETE, Ending.STOPPED) or len(log.failed):
        raise RunFailed(log)
    verdict = judge(log)
    return _probe(load, full, log, verdict), log, verdict


def _watch(load: Load, full: Settings) -> Watch:
    target, extends = target_of(full), full.extend
    most = target.allowed
    if extends and full.confidence is not None:
        longest = int(_rate(full) * (full.max_duration_ms or 0) / 1000)
        most = allowed_over(max(longest, target.queries), full.percentile, full.confidence)
    share = max(most, 1) / target.queries if not extends else 1 - full.percentile / 100

    def watch(progress: Progress) -> bool:
        late = progress.over_bound + progress.overdue
        seen = progress.known
        if load.kind == "confirm":
            early = progress.elapsed_s < LEAD_IN * run_length_s(full)
            hopeless = decided(late, seen, share, load.dispersion) is Outcome.FAIL
            return late > most or (hopeless and not early)
        return decided(late, seen, share, load.dispersion) is not Outcome.UNDECIDED

    return watch


def decided(late: int, seen: int, share: float, dispersion: float) -> Outcome:
    """Whether so many late ones of those seen show a share above or below ``share``."""
    size = max(dispersion, LEAST_CLUSTER)
    clusters, chances = late / size, seen / size
    if chances <= 0:
        return Outcome.UNDECIDED
    if clusters and betainc(clusters, chances - clusters + 1, share) < DOUBT:
        return Outcome.FAIL
    if 1 - betainc(clusters + 1, max(chances - clusters, 1e-9), share) < DOUBT:
        return Outcome.PASS
    return Outcome.UNDECIDED


def _probe(load: Load, full: Settings, log: RunLog, verdict: Verdict) -> Probe:
    judged, latency_ns = _judged(log, full)
    bound_ms, figures = full.bounds_ms[judged], verdict.statistics
    tails_ms = (
        figures.latency_ms if figures.tokens is None else getattr(figures.tokens, f"{judged}_ms")
    )
    outcome = Outcome.PASS if verdict.valid else Outcome.FAIL
    if load.kind == "probe":
        late = _over(latency_ns, bound_ms)
        outcome = decided(late, len(latency_ns), target_of(full).share, load.dispersion)
        latency_ns = latency_ns[int(LEAD_IN * len(latency_ns)) :]
    return Probe(
        rate_qps=load.rate_qps,
        kind=load.kind,
        outcome=outcome,
        tail_ms=tails_ms.get(f"p{full.percentile:g}"),
        late=_over(latency_ns, bound_ms),
        query_count=len(latency_ns),
        cluster_squares=cluster_squares(latency_ns / 1e6, bound_ms),
        duration_s=verdict.statistics.duration_s,
        judged=judged,
    )


def _judged(log: RunLog, full: Settings) -> tuple[str, np.ndarray]:
    """What is judged, and its times in ns; of two, those of which more are over their bound."""
    if log.first_token_ns is None:
        return "latency", _known(log, log.completed_ns, log.done, full.bounds_ms["latency"])
    begun = log.first_token_ns >= 0
    times = {
        "ttft": _known(log, log.first_token_ns, begun, full.bounds_ms["ttft"]),
        "tpot": token_latencies_ns(log)[1],
    }

    def worst(name: str) -> tuple[int, float]:
        values, bound_ms = times[name], full.bounds_ms[name]
        tail = float(np.percentile(values, full.percentile)) if len(values) else 0.0
        return _over(values, bound_ms), tail / bound_ms

    judged = max(times, key=worst)
    return judged, times[judged]


def _over(values_ns: np.ndarray, bound_ms: float) -> int:
    return int((values_ns > bound_ms * 1e6).sum())


def _known(log: RunLog, at_ns: np.ndarray, came: np.ndarray, bound_ms: float) -> np.ndarray:
    """Latencies in ns; of what has not come, how long the query waited, if that is too long."""
    waited_ns = int(log.completed_ns.max(initial=0)) - log.scheduled_ns
    latency_ns = np.where(came, at_ns - log.scheduled_ns, waited_ns)
    return latency_ns[came | (waited_ns > bound_ms * 1e6)]
