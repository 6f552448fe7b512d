"""The highest valid rate of a server benchmark, found inside one job."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.build import Benchmark
from loadgen import (
    Constraint,
    Ending,
    Progress,
    RunLog,
    Scenario,
    Settings,
    Verdict,
    judge,
)
from loadgen.progress import Watch
from loadgen.statistics import allowed_over, surely_over
from multirun.guess import poisson_peak_qps
from multirun.search import Kind, Probe, SearchResult, SearchSettings, search

# Runs one set of settings; the text names the run for the progress line.
Runner = Callable[[Settings, str, Watch | None], RunLog]


class RunFailed(Exception):
    """A run inside a search did not end by itself; ``log`` is its record."""

    def __init__(self, log: RunLog) -> None:
        super().__init__(str(log.ending))
        self.log = log


@dataclass(frozen=True)
class Limits:
    """What is known before the search: the unloaded latency and the offline throughput."""

    unloaded_ms: float
    ceiling_qps: float | None
    bound_ms: float

    @property
    def feasible(self) -> bool:
        """Whether a query on an idle system stays inside the bound."""
        return self.unloaded_ms <= self.bound_ms

    def constraint(self) -> Constraint:
        """The feasibility as a row of a verdict."""
        factor = self.unloaded_ms / self.bound_ms
        hint = (
            f"no rate can meet the bound: one query on the idle system takes {factor:.2f} times "
            "as long; try another precision, more threads or faster hardware"
        )
        return Constraint(
            "unloaded_latency",
            f"<= {self.bound_ms:g} ms",
            f"{self.unloaded_ms:.2f} ms",
            self.feasible,
            "" if self.feasible else hint,
        )


@dataclass(frozen=True)
class Peak:
    """A finished search, with the run that confirmed the answer or else the last one made."""

    result: SearchResult
    log: RunLog | None
    verdict: Verdict | None


def unloaded_latency_ms(full: Settings, run: Runner) -> float:
    """Median latency of single queries on the idle system, in ms; a few seconds at most."""
    settings = Settings(
        scenario=Scenario.SINGLE_STREAM,
        min_query_count=5,
        min_duration_ms=500,
        max_duration_ms=3000,
        sut_timeout_ms=full.sut_timeout_ms,
        qsl_seed=full.qsl_seed,
        confidence=None,
    )
    verdict = judge(_completed(run(settings, "unloaded latency", None)))
    return verdict.statistics.latency_ms["p50"]


def offline_qps(full: Settings, batch: int, duration_s: float, run: Runner) -> float:
    """Samples/s without a latency bound, from a short offline run of about ``duration_s``.

    The sample count grows from one batch until the run is long enough to be believed.
    """
    count = batch
    while True:
        settings = replace(
            full,
            scenario=Scenario.OFFLINE,
            samples_per_query=1,
            extend=False,
            target_qps=1.0,
            min_duration_ms=0,
            max_duration_ms=None,
            max_query_count=None,
            min_query_count=1,
            min_sample_count=count,
            bound_ms=None,
        )
        statistics = judge(_completed(run(settings, "offline throughput", None))).statistics
        assert statistics.completed_samples_per_s is not None
        if statistics.duration_s >= duration_s / 2 or count >= 50_000_000:
            return statistics.completed_samples_per_s
        growth = duration_s / max(statistics.duration_s, duration_s / 50)
        count = int(count * min(growth, 20) * 1.05) + 1


def _completed(log: RunLog) -> RunLog:
    if log.ending is not Ending.COMPLETE or len(log.failed):
        raise RunFailed(log)
    return log


def find_peak(
    benchmark: Benchmark,
    full_at: Callable[[float], Settings],
    limits: Limits,
    run: Runner,
    seen: Callable[[Probe, RunLog, Verdict], None],
) -> Peak:
    """Search the highest rate whose confirming run is VALID.

    ``full_at(rate)``: the settings of a run at that rate under the full rules. ``seen`` is told
    of every probe. Raises RunFailed when the system breaks in the middle.
    """
    own = benchmark.config.search
    assert limits.ceiling_qps is not None
    last: list[tuple[RunLog, Verdict]] = []
    seeds = iter(range(1, 10_000))

    def evaluate(rate: float, kind: Kind) -> Probe:
        full = settings = full_at(rate)
        if kind == "probe":
            settings = _probe_settings(full, own.probe_duration_s, next(seeds))
        allowed = _allowed_over(kind, _count(settings), full)
        log = run(settings, f"{kind} {rate:.4g} qps", _hopeless(allowed))
        if log.ending not in (Ending.COMPLETE, Ending.STOPPED) or len(log.failed):
            raise RunFailed(log)
        verdict = judge(log)
        probe = _probe(rate, kind, log, verdict, allowed)
        last[:] = [(log, verdict)]
        seen(probe, log, verdict)
        return probe

    guess = poisson_peak_qps(
        limits.unloaded_ms / 1000,
        limits.bound_ms / 1000,
        max(_allowed_share(full_at(limits.ceiling_qps)), 1e-3),
        benchmark.sut.workers,
    )
    result = search(
        evaluate,
        SearchSettings(
            ceiling_qps=limits.ceiling_qps,
            guess_qps=min(max(guess, 0.1 * limits.ceiling_qps), 0.95 * limits.ceiling_qps),
            floor_qps=0.01 * limits.ceiling_qps,
            relative_tolerance=own.relative_tolerance,
            max_probes=own.max_probes,
            max_confirmations=own.max_confirmations,
            back_off=own.back_off,
        ),
    )
    return Peak(result, *last[0]) if last else Peak(result, None, None)


def _probe_settings(full: Settings, duration_s: float, seed: int) -> Settings:
    """A shorter run at the same rate, with a schedule of its own."""
    return replace(
        full,
        min_duration_ms=min(duration_s * 1000, full.min_duration_ms),
        max_duration_ms=None,
        min_query_count=min(30, full.min_query_count),
        extend=False,
        confidence=None,
        schedule_seed=(full.schedule_seed + seed) % 2**64,
    )


def _count(settings: Settings) -> int:
    """About how many queries a run has, if it extends itself as far as it may."""
    assert settings.target_qps is not None
    duration_ms = settings.max_duration_ms if settings.extend else settings.min_duration_ms
    return max(settings.min_query_count, int(settings.target_qps * (duration_ms or 0) / 1000))


def _allowed_over(kind: Kind, queries: int, full: Settings) -> int:
    """How many of a run's ``queries`` may be over the bound before it is hopeless.

    A probe is held to the share that a confirming run may have, so that its rate would be
    confirmed about every second time.
    """
    share = _allowed_share(full)
    if kind == "confirm":
        return math.floor(share * _count(full) + 1e-9)
    # One late query alone may be the machine's fault, and proves nothing of the rate.
    return max(1, math.floor(share * queries))


def _allowed_share(full: Settings) -> float:
    """Share over the bound that a run under the full rules may have and pass."""
    if full.confidence is None:
        return 1 - full.percentile / 100
    return max(allowed_over(_count(full), full.percentile, full.confidence), 0) / _count(full)


def _hopeless(allowed: int) -> Watch:
    """Ends a run that has more late queries than it may have at its end, or surely will."""

    def watch(progress: Progress) -> bool:
        late, answered = progress.over_bound, progress.completed
        if late > allowed:
            return True
        # Late queries come in clusters: a few answers say nothing yet.
        return answered >= 200 and surely_over(late, answered, progress.settings.percentile)

    return watch


def _probe(rate: float, kind: Kind, log: RunLog, verdict: Verdict, allowed: int) -> Probe:
    """What a run says of its rate: a confirmation by its verdict, a probe by its late queries."""
    queries = max(1, len(log.scheduled_ns))
    over = verdict.statistics.over_bound_count or 0
    passed = verdict.valid if kind == "confirm" else over <= allowed
    return Probe(
        rate_qps=rate,
        kind=kind,
        passed=passed and log.ending is Ending.COMPLETE,
        tail_ms=verdict.statistics.latency_ms.get(f"p{log.settings.percentile:g}"),
        over_share=over / queries,
        query_count=queries,
        duration_s=verdict.statistics.duration_s,
    )
