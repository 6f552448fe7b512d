"""The highest valid rate, or number of streams, found inside one job."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from engine.build import Benchmark
from engine.config import Search
from engine.resume import Kept
from loadgen import Constraint, Ending, RunLog, Scenario, Settings, Verdict, judge
from multirun.belief import Prior
from multirun.probing import RunFailed, Runner, evaluate, run_length_s, target_of
from multirun.search import Load, Probe, SearchResult, SearchSettings, search
from multirun.streams import StreamSettings, evaluate_streams, search_streams, streams_of
from sut.capacity import predict
from sut.curve import ServiceCurve
from sut.simulated import SimulatedSut

# Is told of every probe; of a reused one without its log.
Seen = Callable[[Probe, RunLog | None, Verdict | None], None]

# The offline run is short: the true limit may lie a little higher.
CEILING_SLACK = 1.05
# An idle system that misses its bound by less than this factor may have been disturbed, and is
# timed again, so often at most.
DISTURBED, TRIES = 4.0, 4
# One query at a time keeps the system busy for this share of the time: hardly one has to wait.
NEARLY_IDLE = 0.02
# No real system keeps its speed to a percent from run to run, so that its late share grows by no
# higher power of the rate, whatever its service times alone would say.
STEEPEST = 50.0
# Where the peak lies below the offline throughput is hardly known where tokens are judged.
TOKEN_SPREAD = 0.7


@dataclass(frozen=True)
class Limits:
    """What is known before the search: the unloaded latency, and the bound.

    ``judged``: what they are of, where tokens are judged the one that is nearer to its bound.
    """

    unloaded_ms: float
    bound_ms: float
    judged: str = "latency"

    @property
    def subject(self) -> str:
        """What it is that takes so long."""
        named = {"latency": "one query", "ttft": "the first token", "tpot": "each further token"}
        return f"{named[self.judged]} on the idle system takes"

    @property
    def factor(self) -> float:
        """How many times the bound it takes."""
        return self.unloaded_ms / self.bound_ms

    @property
    def feasible(self) -> bool:
        """Whether a query on an idle system stays inside the bound."""
        return self.factor <= 1

    def constraint(self) -> Constraint:
        """The feasibility as a row of a verdict."""
        hint = (
            f"no rate can meet the bound: {self.subject} {self.factor:.2f} times "
            "as long; try another precision, more threads or faster hardware"
        )
        return Constraint(
            f"unloaded_{self.judged}",
            f"<= {self.bound_ms:g} ms",
            f"{self.unloaded_ms:.2f} ms",
            self.feasible,
            "" if self.feasible else hint,
        )


def unloaded(full: Settings, bounds_ms: dict[str, float], run: Runner) -> Limits:
    """Median latency of single queries on the idle system, in ms, by a few seconds of them.

    ``bounds_ms``: of what is judged, by its name (``Settings.bounds_ms``).
    """
    found = _unloaded(full, bounds_ms, run)
    for _ in range(TRIES - 1):
        if found.feasible or found.factor > DISTURBED:
            break
        again = _unloaded(full, bounds_ms, run)
        found = min(found, again, key=lambda limits: limits.factor)
    return found


def _unloaded(full: Settings, bounds_ms: dict[str, float], run: Runner) -> Limits:
    settings = Settings(
        scenario=Scenario.SINGLE_STREAM,
        min_query_count=5,
        min_duration_ms=500,
        max_duration_ms=3000,
        sut_timeout_ms=full.sut_timeout_ms,
        qsl_seed=full.qsl_seed,
        confidence=None,
        use_token_latencies=full.use_token_latencies,
    )
    statistics = judge(_completed(run(settings, "unloaded latency", None))).statistics
    times_ms = {"latency": statistics.latency_ms}
    if statistics.tokens is not None:
        times_ms |= {"ttft": statistics.tokens.ttft_ms, "tpot": statistics.tokens.tpot_ms}
    found = [Limits(times_ms[name]["p50"], bound, name) for name, bound in bounds_ms.items()]
    return max(found, key=lambda limits: limits.factor)


def offline_qps(full: Settings, batch: int, duration_s: float, run: Runner) -> float:
    """Samples/s without a latency bound, from a short offline run of about ``duration_s``.

    The sample count grows from one batch until the run is long enough to be believed.
    """
    count = batch
    while True:
        settings = Settings(
            scenario=Scenario.OFFLINE,
            target_qps=1.0,
            min_duration_ms=0,
            min_query_count=1,
            min_sample_count=count,
            confidence=None,
            sut_timeout_ms=full.sut_timeout_ms,
            qsl_seed=full.qsl_seed,
            sample_index_seed=full.sample_index_seed,
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


def service_curve(
    times_ms: Mapping[int, float],
    unloaded_ms: float,
    ceiling_qps: float,
    workers: int,
    max_batch: int,
) -> ServiceCurve:
    """Service times by batch size, as far as they were timed (``times_ms``, ascending).

    A full batch that was not timed takes what the offline throughput ``ceiling_qps`` says, and a
    single query of a system that cannot be timed at all what it takes on the idle system.
    """
    full_ms = 1000 * max_batch * workers / ceiling_qps
    times = dict(times_ms) or {1: min(unloaded_ms, full_ms) if max_batch == 1 else unloaded_ms}
    if max(times) < max_batch:
        times[max_batch] = max(full_ms, *times.values())
    return ServiceCurve(tuple(times), tuple(times.values()))


def prior(benchmark: Benchmark, limits: Limits, curve: ServiceCurve, full: Settings) -> Prior:
    """Where the peak should lie, by the queueing of the service times that were measured.

    ``full``: settings under the full rules at the offline throughput, the ceiling of all rates.
    """
    ceiling = full.target_qps
    assert ceiling is not None
    if full.use_token_latencies:  # of which the model knows nothing
        return Prior(0.6 * ceiling, CEILING_SLACK * ceiling, spread=TOKEN_SPREAD)
    sut = benchmark.sut
    model = SimulatedSut(
        curve,
        workers=sut.workers,
        max_batch=getattr(sut, "max_batch", 1),
        max_wait_us=getattr(sut, "max_wait_us", 0.0),
    )
    try:
        found = predict(model, limits.bound_ms, max(target_of(full).share, 1e-4))
    except ValueError:  # a wait for batches to fill may be longer than the bound
        return Prior(0.05 * ceiling, CEILING_SLACK * ceiling)
    guess = min(max(found.peak_qps, 0.05 * ceiling), 0.95 * ceiling)
    return Prior(
        guess,
        CEILING_SLACK * ceiling,
        slope=found.slope if isinstance(sut, SimulatedSut) else min(found.slope, STEEPEST),
        dispersion=found.dispersion,
        floor_qps=NEARLY_IDLE * 1000 / limits.unloaded_ms,
    )


def find_peak(
    start: Prior,
    own: Search,
    runs: int,
    full_at: Callable[[float], Settings],
    run: Runner,
    kept: Kept,
    seen: Seen,
) -> SearchResult:
    """Search the highest rate at which ``runs`` confirming runs are VALID.

    ``full_at(rate)``: the settings of a run at that rate under the full rules. ``kept``: the
    probes of this search, those of an interrupted one included. Raises RunFailed when the system
    breaks in the middle.
    """

    def make(load: Load) -> tuple[Probe, RunLog, Verdict]:
        return evaluate(load, full_at(load.rate_qps), len(kept.probes), run)

    result = search(
        _kept(make, kept, seen),
        start,
        lambda rate: target_of(full_at(rate)),
        lambda rate: run_length_s(full_at(rate)),
        SearchSettings(
            tolerance=own.tolerance,
            probe_run_lengths=own.probe_run_lengths,
            # of all the runs together, as if each were new luck
            confidence=own.confidence ** (1 / runs),
            confirming_runs=runs,
            max_confirmations=own.max_confirmations,
        ),
    )
    kept.done()
    return result


def find_streams(
    ceiling_qps: float, own: Search, full: Settings, run: Runner, kept: Kept, seen: Seen
) -> SearchResult:
    """Search the largest number of streams with which a run is VALID; arguments as above.

    ``ceiling_qps``: offline throughput; ``full``: a run under the full rules, with any number.
    """
    interval_ms = full.interval_ms
    assert interval_ms is not None
    settings = StreamSettings(tolerance=own.tolerance, max_confirmations=own.max_confirmations)

    def make(load: Load) -> tuple[Probe, RunLog, Verdict]:
        streams = streams_of(load.rate_qps, interval_ms)
        return evaluate_streams(load, replace(full, samples_per_query=streams), settings, run)

    guess = streams_of(ceiling_qps, interval_ms)
    result = search_streams(_kept(make, kept, seen), guess, interval_ms, settings)
    kept.done()
    return result


def _kept(
    make: Callable[[Load], tuple[Probe, RunLog, Verdict]], kept: Kept, seen: Seen
) -> Callable[[Load], Probe]:
    """``make``, unless an interrupted search has made that run already."""

    def go(load: Load) -> Probe:
        if probe := kept.next(load):
            seen(probe, None, None)
            return probe
        probe, log, verdict = make(load)
        kept.add(probe)
        seen(probe, log, verdict)
        return probe

    return go
