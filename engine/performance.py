"""The performance part of a benchmark: one run, or the search for the peak."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from engine.build import Benchmark, fit_batch
from engine.peak import Limits, RunFailed, find_peak, offline_qps, unloaded_latency_ms
from engine.plan import bound_ms, full_settings
from engine.record import Record
from engine.tracking import Tracker
from engine.warm import WarmLibrary
from loadgen import Ending, RunLog, Scenario, Settings, Verdict, judge, run
from loadgen.progress import Watch
from multirun.search import Probe

# Wraps a run's own watch with one that shows its progress; the text names the run.
Follow = Callable[[str, Watch | None], Watch]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Speed:
    """How the performance part ended; ``rate_qps``: a rate the system is known to serve."""

    ending: Ending
    valid: bool
    rate_qps: float | None
    message: str | None = None


def measure(
    benchmark: Benchmark, record: Record, tracker: Tracker, follow: Follow, say: Say
) -> Speed:
    """Run the performance part and put it into ``record``."""

    library = WarmLibrary(benchmark.library)

    def go(settings: Settings, name: str, watch: Watch | None) -> RunLog:
        return run(settings, library, benchmark.sut, follow(name, watch))

    part = _Part(benchmark, record, tracker, say, go)
    try:
        return part.measure()
    except RunFailed as failure:
        record.performance(failure.log, judge(failure.log))
        return Speed(failure.log.ending, False, None)


@dataclass(frozen=True)
class _Part:
    benchmark: Benchmark
    record: Record
    tracker: Tracker
    say: Say
    go: Callable[[Settings, str, Watch | None], RunLog]

    def measure(self) -> Speed:
        config = self.benchmark.config
        scenario, rate = Scenario(config.scenario.name), config.scenario.target_qps
        if scenario is Scenario.SERVER and config.search.kind == "max_qps":
            return self._peak()
        self._batch(scenario)
        if scenario is Scenario.OFFLINE and rate is None:
            rate = self._offline_rate()
        full = full_settings(config, rate)
        log = self.go(full, str(scenario), None)
        if scenario is Scenario.OFFLINE and log.ending is Ending.COMPLETE:
            log = self._long_enough(log, full)
        verdict = judge(log)
        self.record.performance(log, verdict)
        served = verdict.statistics.completed_samples_per_s
        return Speed(log.ending, verdict.valid, rate if scenario is Scenario.SERVER else served)

    def _batch(self, scenario: Scenario) -> None:
        """Choose the batch limit for scenarios that have more than one sample at a time."""
        sut = self.benchmark.sut
        if scenario is Scenario.SINGLE_STREAM:
            return
        bound = bound_ms(self.benchmark.config)
        times = fit_batch(self.benchmark, None if bound is None else bound / 1000, self.say)
        self.record.data["sut"] = {
            **(self.record.data["sut"] or {}),
            "max_batch": getattr(sut, "max_batch", None),
            "service_ms_by_batch": {str(k): v * 1000 for k, v in times.items()},
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
        config = self.benchmark.config
        bound = bound_ms(config)
        assert bound is not None
        full = full_settings(config, 1.0)
        limits = Limits(unloaded_latency_ms(full, self.go), None, bound)
        if not limits.feasible:
            return self._infeasible(limits)
        self._batch(Scenario.SERVER)
        ceiling = offline_qps(full, self._batch_limit(), config.search.offline_duration_s, self.go)
        limits = dataclasses.replace(limits, ceiling_qps=ceiling)
        probes: list[Probe] = []

        def seen(probe: Probe, log: RunLog, verdict: Verdict) -> None:
            probes.append(probe)
            word = "passed" if probe.passed else "failed"
            tail = "-" if probe.tail_ms is None else f"{probe.tail_ms:.2f} ms"
            share = f"{probe.over_share:.2%} over the bound"
            self.say(f"{probe.kind} {probe.rate_qps:.4g} qps {word}: tail {tail}, {share}")
            self.record.data["search"] = {"probes": [dataclasses.asdict(p) for p in probes]}
            self.record.performance(log, verdict)

        peak = find_peak(
            self.benchmark, lambda rate: full_settings(config, rate), limits, self.go, seen
        )
        facts = {"unloaded_ms": limits.unloaded_ms, "bound_ms": bound, "ceiling_qps": ceiling}
        self.record.search(peak.result, facts)
        best = peak.result.best_qps
        message = None if best else f"No valid rate was found: {peak.result.reason}."
        return Speed(Ending.COMPLETE, best is not None, best, message)

    def _infeasible(self, limits: Limits) -> Speed:
        row = limits.constraint()
        self.record.data["performance"] = {
            "valid": False,
            "metric": {"name": "server_qps", "value": None, "unit": "queries/s", "how": "none"},
            "constraints": [dataclasses.asdict(row)],
            "statistics": None,
            "settings": None,
            "ending": str(Ending.STOPPED),
            "started_at": None,
            "error": None,
        }
        self.record.data["search"] = {
            "best_qps": None,
            "probes": [],
            "reason": "the unloaded latency exceeds the bound",
            "unloaded_ms": limits.unloaded_ms,
            "bound_ms": limits.bound_ms,
        }
        self.record.save()
        message = (
            f"The bound cannot be met at any rate: one query on the idle system takes "
            f"{limits.unloaded_ms:.1f} ms, the bound is {limits.bound_ms:g} ms "
            f"({limits.unloaded_ms / limits.bound_ms:.2f} times too slow)."
        )
        return Speed(Ending.COMPLETE, False, None, message)
