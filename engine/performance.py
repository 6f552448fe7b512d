"""The performance part of a benchmark: one run, or the search for the peak."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.build import Benchmark, Say, fit_batch
from engine.peak import (
    Limits,
    find_peak,
    find_streams,
    offline_qps,
    prior,
    service_curve,
    unloaded,
)
from engine.plan import bound_ms, full_settings, interval_ms, run_count, searches_streams
from engine.preprocessing import put_preprocessed
from engine.record import Record
from engine.repeats import Repeats
from engine.resume import Kept, kept_probes
from engine.warm import WarmLibrary
from loadgen import Ending, RunLog, Scenario, Settings, Verdict, judge, run
from loadgen.progress import Watch
from multirun.belief import Prior
from multirun.probing import RunFailed
from multirun.search import Probe, SearchResult
from multirun.streams import streams_of
from sut.simulated import SimulatedSut

# Wraps a run's own watch with one that shows its progress; the text names the run.
Follow = Callable[[str, Watch | None], Watch]


@dataclass(frozen=True)
class Speed:
    """How the performance part ended; ``rate_qps``: a rate the system is known to serve."""

    ending: Ending
    valid: bool
    rate_qps: float | None
    message: str | None = None


def measure(benchmark: Benchmark, record: Record, follow: Follow, say: Say) -> Speed:
    """Run the performance part and put it into ``record``."""

    put_idle_power(benchmark, record, say)
    part = part_of(benchmark, record, follow, say)
    try:
        speed = part.measure()
    except RunFailed as failure:
        return _broken(failure.log, benchmark, record)
    if not benchmark.config.scenario.timed_preprocessing or speed.ending is not Ending.COMPLETE:
        return speed
    beside = put_preprocessed(benchmark, record, follow)
    interrupted = beside is not None and beside.ending is Ending.INTERRUPTED
    return dataclasses.replace(speed, ending=Ending.INTERRUPTED) if interrupted else speed


def _broken(log: RunLog, benchmark: Benchmark, record: Record) -> Speed:
    """A run on the way to the result failed, and there is none."""
    config = benchmark.config
    if config.scenario.name == Scenario.OFFLINE:
        record.performance(log, judge(log))
    else:
        record.broken(log, judge(log), searches_streams(config))
    message = f"The search ended with a run in which {len(log.failed):,} samples failed."
    return Speed(log.ending, False, None, message if len(log.failed) else None)


def put_idle_power(benchmark: Benchmark, record: Record, say: Say) -> None:
    """Measure what the devices take while the system is loaded and asked for nothing."""
    seconds = benchmark.config.power.idle_s
    if benchmark.meter is not None and seconds:
        say(f"measuring the idle power for {seconds:g} s")
        record.data["idle_power_w"] = benchmark.meter.over(seconds).average_power_w


def part_of(benchmark: Benchmark, record: Record, follow: Follow, say: Say) -> Part:
    """The performance part, whose runs are followed and keep their samples warm."""
    library = WarmLibrary(benchmark.library)

    def go(settings: Settings, name: str, watch: Watch | None) -> RunLog:
        return run(settings, library, benchmark.sut, follow(name, watch), benchmark.meter)

    return Part(benchmark, record, say, go)


@dataclass(frozen=True)
class Part:
    """The performance part of one benchmark; ``go`` makes a run."""

    benchmark: Benchmark
    record: Record
    say: Say
    go: Callable[[Settings, str, Watch | None], RunLog]

    def measure(self) -> Speed:
        """Make the run, or the search."""
        config = self.benchmark.config
        scenario, rate = Scenario(config.scenario.name), config.scenario.target_qps
        if scenario is Scenario.SERVER and config.search.kind == "max_qps":
            return self._peak()
        if searches_streams(config):
            return self._streams()
        self._batch(scenario)
        if scenario is Scenario.OFFLINE and rate is None:
            rate = self._offline_rate()
        full, repeats = full_settings(config, rate), Repeats(run_count(config))
        while repeats.open:
            log = self.go(full, str(scenario), None)
            if scenario is Scenario.OFFLINE and log.ending is Ending.COMPLETE:
                log = self._long_enough(log, full)
            repeats.add(log, judge(log))
        log, verdict = repeats.worst
        self.record.performance(log, verdict, repeats.figures)
        served = verdict.statistics.completed_samples_per_s
        return Speed(log.ending, verdict.valid, rate if scenario is Scenario.SERVER else served)

    def _batch(self, scenario: Scenario) -> dict[int, float]:
        """Choose the batch limit where there may be several samples; ms measured by batch."""
        if scenario is Scenario.SINGLE_STREAM:
            return {}
        bound = bound_ms(self.benchmark.config)
        times = fit_batch(self.benchmark, None if bound is None else bound / 1000, self.say)
        times_ms = {size: seconds * 1000 for size, seconds in times.items()}
        self._put_batch(times_ms)
        return times_ms

    def _put_batch(self, times_ms: dict[int, float]) -> None:
        self.record.data["sut"] = {
            **(self.record.data["sut"] or {}),
            "max_batch": getattr(self.benchmark.sut, "max_batch", None),
            "service_ms_by_batch": {str(size): ms for size, ms in times_ms.items()},
        }

    def _offline_rate(self) -> float:
        full = full_settings(self.benchmark.config, 1.0)
        return offline_qps(full, self._batch_limit(), 1.0, self.go)

    def _batch_limit(self) -> int:
        sut = self.benchmark.sut
        return int(getattr(sut, "max_batch", 1)) * sut.workers

    def _long_enough(self, log: RunLog, full: Settings) -> RunLog:
        """Repeat an offline run that ended too soon, with samples for its measured speed."""
        for _ in range(3):
            statistics = judge(log).statistics
            short = statistics.duration_s * 1000 < full.min_duration_ms
            if not short or log.ending is not Ending.COMPLETE:
                break
            assert statistics.completed_samples_per_s is not None
            full = dataclasses.replace(full, target_qps=statistics.completed_samples_per_s * 1.05)
            log = self.go(full, "offline, longer", None)
        return log

    def _peak(self) -> Speed:
        config, kept = self.benchmark.config, kept_probes(self.benchmark)
        full = partial(full_settings, config)
        bounds = full(1.0).bounds_ms
        facts = self._known(kept) if kept.facts else self.measured(bounds, full(1.0))
        limits = limits_of(facts)
        if not limits.feasible:
            return self._infeasible(limits)
        kept.begin(facts)
        start = self.expected(facts, limits)
        facts = {**facts, "bounds_ms": bounds, "guess_qps": start.guess_qps}
        probes: list[Probe] = []
        repeats, confirmed = Repeats(run_count(config)), False

        def seen(probe: Probe, log: RunLog | None, verdict: Verdict | None) -> None:
            nonlocal confirmed
            probes.append(probe)
            self.say(told(probe))
            self.record.data["search"] = {"probes": [dataclasses.asdict(p) for p in probes]}
            if log is None or verdict is None:
                return
            if probe.kind == "probe":
                self.record.passing(log, verdict)
                return
            repeats.add(log, verdict)
            # A try for more that fails does not take the place of what was confirmed.
            if repeats.complete or not confirmed:
                self.record.performance(*repeats.worst, repeats.figures)
            confirmed = confirmed or repeats.complete

        result = find_peak(start, config.search, repeats.wanted, full, self.go, kept, seen)
        self.record.search(result, facts)
        message = None if result.best_qps else f"No valid rate was found: {result.reason}."
        return Speed(Ending.COMPLETE, result.best_qps is not None, result.best_qps, message)

    def _streams(self) -> Speed:
        """The largest number of streams at the interval of the rules."""
        config, kept = self.benchmark.config, kept_probes(self.benchmark)
        interval = interval_ms(config)
        assert interval is not None
        full = full_settings(config, None)
        bounds = {"latency": interval}
        facts = self._known(kept) if kept.facts else self.measured(bounds, full)
        limits = limits_of(facts)
        if not limits.feasible:
            return self._infeasible(limits)
        kept.begin(facts)
        facts = {**facts, "bounds_ms": bounds}
        probes: list[Probe] = []

        def seen(probe: Probe, log: RunLog | None, verdict: Verdict | None) -> None:
            probes.append(probe)
            streams = streams_of(probe.rate_qps, interval)
            self.say(f"{streams} streams: {told(probe)}")
            self.record.data["search"] = {"probes": [dataclasses.asdict(p) for p in probes]}
            if log is not None and verdict is not None:
                put = self.record.passing if probe.kind == "probe" else self.record.performance
                put(log, verdict)

        result = find_streams(facts["ceiling_qps"], config.search, full, self.go, kept, seen)
        best = result.best_qps and streams_of(result.best_qps, interval)
        self.record.search(result, {**facts, "best_streams": best})
        message = None if best else f"No number of streams was valid: {result.reason}."
        return Speed(Ending.COMPLETE, best is not None, result.best_qps, message)

    def _known(self, kept: Kept) -> dict[str, Any]:
        """What an interrupted search had measured before its probes."""
        self.say(f"an interrupted search goes on: {kept.reusable} probes reused")
        times_ms = kept.facts["service_ms_by_batch"]
        if hasattr(self.benchmark.sut, "max_batch"):
            self.benchmark.sut.max_batch = kept.facts["max_batch"]
        self._put_batch(times_ms)
        return kept.facts

    def measured(self, bounds_ms: dict[str, float], full: Settings) -> dict[str, Any]:
        """Unloaded latency; if that is within the bound, batch times and offline throughput."""
        limits = unloaded(full, bounds_ms, self.go)
        facts = dataclasses.asdict(limits)
        if not limits.feasible:
            return facts
        times_ms = self._batch(Scenario.SERVER)
        seconds = self.benchmark.config.search.offline_duration_s
        return {
            **facts,
            "ceiling_qps": offline_qps(full, self._batch_limit(), seconds, self.go),
            "max_batch": getattr(self.benchmark.sut, "max_batch", None),
            "service_ms_by_batch": {str(size): ms for size, ms in times_ms.items()},
        }

    def expected(self, facts: dict[str, Any], limits: Limits) -> Prior:
        """Where the peak should lie, by what ``measured`` found."""
        sut, ceiling_qps = self.benchmark.sut, facts["ceiling_qps"]
        if isinstance(sut, SimulatedSut):
            curve = sut.curve
        else:
            times_ms = {int(size): ms for size, ms in facts["service_ms_by_batch"].items()}
            most = facts["max_batch"] or 1
            curve = service_curve(times_ms, limits.unloaded_ms, ceiling_qps, sut.workers, most)
        full = full_settings(self.benchmark.config, ceiling_qps)
        return prior(self.benchmark, limits, curve, full)

    def _infeasible(self, limits: Limits) -> Speed:
        self.record.unmeasured(limits.constraint(), searches_streams(self.benchmark.config))
        nothing = SearchResult(None, None, None, None, 0.0, (), "no rate can meet the bound")
        self.record.search(nothing, dataclasses.asdict(limits))
        message = (
            f"The bound cannot be met at any rate: {limits.subject} "
            f"{limits.unloaded_ms:.1f} ms, the bound is {limits.bound_ms:g} ms "
            f"({limits.factor:.2f} times too slow)."
        )
        return Speed(Ending.COMPLETE, False, None, message)


def limits_of(facts: dict[str, Any]) -> Limits:
    """The limits among the facts of a search."""
    return Limits(facts["unloaded_ms"], facts["bound_ms"], facts["judged"])


def told(probe: Probe) -> str:
    """One line on a probe."""
    tail = "-" if probe.tail_ms is None else f"{probe.tail_ms:.2f} ms"
    share = probe.late / max(probe.query_count, 1)
    again = ", reused" if probe.reused else ""
    judged = "" if probe.judged == "latency" else f"{probe.judged} "
    return (
        f"{probe.kind} {probe.rate_qps:.4g} qps {probe.outcome}: {judged}tail {tail}, "
        f"{share:.2%} of {probe.query_count:,} over the bound, {probe.duration_s:.1f} s{again}"
    )
