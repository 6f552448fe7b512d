"""Capacity planning: from the service times of one system to fleets of it, by simulation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from engine.build import Benchmark
from engine.errors import ConfigError, SutError
from engine.performance import Follow
from engine.plan import bound_ms, full_settings
from engine.warm import WarmLibrary
from loadgen import Ending, RunLog, Settings, run
from multirun.probing import target_of
from sut.capacity import peak_qps, tail_ms
from sut.curve import ServiceCurve
from sut.profile import profile
from sut.simulated import SimulatedSut

# Queries of one simulation, and how exactly a peak is found with them.
QUERIES, WITHIN = 100_000, 5e-3
# Profiles of drawn rounds that say how far the peak is to be trusted, and how each is simulated.
DRAWN, DRAWN_QUERIES, DRAWN_WITHIN = 40, 20_000, 2e-2
# Shares of the peak whose tail latency is shown.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0, 1.03, 1.06)
MOST_REPLICAS = 1_000
TOO_MANY = f"needs over {MOST_REPLICAS:,} replicas, the most that are tried"


@dataclass(frozen=True)
class Batching:
    """A way to batch, and the peak (queries/s) that one system reaches with it."""

    max_batch: int
    max_wait_us: float
    peak_qps: float


@dataclass(frozen=True)
class Fleet:
    """``replicas`` of the system behind one queue, and their peak in queries/s."""

    replicas: int
    peak_qps: float


@dataclass(frozen=True)
class CapacityPlan:
    """What a system can do, by simulation of its profile.

    ``curve``: without its trace. ``late_share``: the queries that may be late in a run at the peak.
    ``batchings``: all that were tried; the others are with the ``best`` of them.
    ``interval_qps``: its peak in 95 % of profiles whose rounds were drawn from this one's, None for
    a profile without rounds. ``slow_share``: of its time, that in slow batches.
    ``tails``: rate in queries/s and tail latency in ms of one system. ``needed``: the smallest
    fleet that reaches ``target_qps``, None where none was asked for.
    """

    curve: ServiceCurve
    workers: int
    bound_ms: float
    percentile: float
    late_share: float
    batchings: tuple[Batching, ...]
    best: Batching
    interval_qps: tuple[float, float] | None
    slow_share: float | None
    tails: tuple[tuple[float, float], ...]
    fleets: tuple[Fleet, ...]
    target_qps: float | None
    needed: Fleet | None


def measured_curve(benchmark: Benchmark, follow: Follow) -> ServiceCurve:
    """The service times of the benchmark's system; a simulated one is asked for its own.

    Raises SutError if the system fails.
    """
    sut, own = benchmark.sut, benchmark.config.plan
    if isinstance(sut, SimulatedSut):
        return dataclasses.replace(
            sut.curve, spread=math.hypot(sut.curve.spread, sut.fortune.spread)
        )
    library = WarmLibrary(benchmark.library)

    def go(size: int, settings: Settings) -> RunLog:
        sut.max_batch = size  # type: ignore[union-attr]  # all but simulated ones have it
        log = run(settings, library, sut, follow(f"batch {size}", None))
        if log.ending is Ending.INTERRUPTED:
            raise KeyboardInterrupt
        if log.ending is not Ending.COMPLETE or len(log.failed):
            raise SutError(f"{sut.name} failed at batches of {size}: {log.error or log.ending}")
        return log

    fixed = getattr(sut, "fixed_batch", None)
    sizes = [fixed] if fixed else [2**n for n in range(own.largest_batch.bit_length())]
    limit_ms = bound_ms(benchmark.config) or math.inf
    return profile(sizes, go, workers=sut.workers, seconds=own.seconds_per_batch, limit_ms=limit_ms)


def plan(benchmark: Benchmark, curve: ServiceCurve) -> CapacityPlan:
    """What ``curve`` promises inside the benchmark's bound.

    Raises ConfigError where there is no bound, or where it is shorter than one query takes.
    """
    config, own = benchmark.config, benchmark.config.plan
    bound, workers = bound_ms(config), benchmark.sut.workers
    if bound is None:
        raise ConfigError("mode=plan needs a latency bound: use scenario=server.")
    if curve.service_ms[0] > bound:
        raise ConfigError(
            f"The bound of {bound:g} ms cannot be met by any number of replicas: one query takes "
            f"{curve.service_ms[0]:.3g} ms."
        )

    def system(
        max_batch: int, max_wait_us: float, replicas: int = 1, times: ServiceCurve = curve
    ) -> SimulatedSut:
        return SimulatedSut(
            times, workers=workers * replicas, max_batch=max_batch, max_wait_us=max_wait_us
        )

    def asked(rate_qps: float) -> tuple[int, float]:
        target = target_of(full_settings(config, rate_qps))
        return target.queries, target.share

    def peak(sut: SimulatedSut, queries: int = QUERIES, within: float = WITHIN) -> float:
        try:
            return peak_qps(sut, bound, asked, queries, within)
        except ValueError:  # even an idle system is late too often
            return 0.0

    limits = own.max_batch or curve.batch
    tried = {(batch, wait if batch > 1 else 0.0) for batch in limits for wait in own.max_wait_us}
    batchings = tuple(Batching(b, w, peak(system(b, w))) for b, w in sorted(tried))
    best = max(batchings, key=lambda batching: batching.peak_qps)
    if best.peak_qps == 0:
        raise ConfigError(
            f"The bound of {bound:g} ms cannot be met by any number of replicas: more than "
            f"{asked(1.0)[1]:.2%} of batches take longer, by a spread of {curve.spread:.0%} around "
            f"a median of {curve.service_ms[0]:.3g} ms."
        )
    fleet = partial(system, best.max_batch, best.max_wait_us)
    if own.target_qps and own.target_qps > MOST_REPLICAS * fleet().capacity_qps:
        raise ConfigError(f"plan.target_qps={own.target_qps:g} {TOO_MANY}.")

    def reached(replicas: int) -> Fleet:
        return Fleet(replicas, peak(fleet(replicas)))

    def short(times: ServiceCurve) -> float:
        sut = system(best.max_batch, best.max_wait_us, times=times)
        return peak(sut, DRAWN_QUERIES, DRAWN_WITHIN)

    rates = [part * best.peak_qps for part in SHARES]
    percentile = full_settings(config, best.peak_qps).percentile
    return CapacityPlan(
        curve=dataclasses.replace(curve, trace=None),  # which profile.json has
        workers=workers,
        bound_ms=bound,
        percentile=percentile,
        late_share=asked(best.peak_qps)[1],
        batchings=batchings,
        best=best,
        interval_qps=None if curve.trace is None else _interval_qps(curve, short, best.peak_qps),
        slow_share=None if curve.trace is None else curve.trace.slow_share(),
        tails=tuple((rate, tail_ms(fleet(), rate, percentile, QUERIES)) for rate in rates),
        fleets=tuple(map(reached, own.replicas)),
        target_qps=own.target_qps,
        needed=None if own.target_qps is None else smallest(own.target_qps, reached),
    )


def _interval_qps(
    curve: ServiceCurve, short: Callable[[ServiceCurve], float], peak: float
) -> tuple[float, float]:
    """Between which 95 % of the peaks lie that profiles of drawn rounds have.

    ``short``: the peak by fewer queries, which may be another one and is only compared with itself.
    """
    rng = np.random.default_rng(0)
    drawn = [short(curve.resampled(rng)) for _ in range(DRAWN)]
    low, high = np.quantile(drawn, (0.025, 0.975)) * (peak / max(short(curve), 1e-9))
    return float(low), float(high)


def smallest(target_qps: float, reached: Callable[[int], Fleet]) -> Fleet:
    """The smallest fleet with that peak; ConfigError if not even ``MOST_REPLICAS`` have it."""
    few, fleet = 0, reached(1)
    while fleet.peak_qps < target_qps:
        if fleet.replicas >= MOST_REPLICAS:
            raise ConfigError(f"plan.target_qps={target_qps:g} {TOO_MANY}.")
        few = fleet.replicas
        # Behind one queue a larger fleet reaches at least in proportion.
        enough = math.ceil(few * target_qps / fleet.peak_qps)
        fleet = reached(min(max(few + 1, enough), MOST_REPLICAS))
    while fleet.replicas - few > 1:
        middle = reached((few + fleet.replicas) // 2)
        few, fleet = (few, middle) if middle.peak_qps >= target_qps else (middle.replicas, fleet)
    return fleet
