"""Capacity planning: from the service times of one system to fleets of it, by simulation."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

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

# Queries of one simulated run, and how exactly a peak is found with them.
QUERIES, WITHIN = 100_000, 5e-3
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

    ``batchings``: all that were tried; the others are with the ``best`` of them.
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

    def system(max_batch: int, max_wait_us: float, replicas: int = 1) -> SimulatedSut:
        return SimulatedSut(
            curve, workers=workers * replicas, max_batch=max_batch, max_wait_us=max_wait_us
        )

    full = full_settings(config, system(max(curve.batch), 0.0).capacity_qps)
    share = target_of(full).share

    def peak(sut: SimulatedSut) -> float:
        try:
            return peak_qps(sut, bound, share, QUERIES, WITHIN)
        except ValueError:  # even an idle system is late too often
            return 0.0

    limits = own.max_batch or curve.batch
    tried = {(batch, wait if batch > 1 else 0.0) for batch in limits for wait in own.max_wait_us}
    batchings = tuple(Batching(b, w, peak(system(b, w))) for b, w in sorted(tried))
    best = max(batchings, key=lambda batching: batching.peak_qps)
    if best.peak_qps == 0:
        raise ConfigError(
            f"The bound of {bound:g} ms cannot be met by any number of replicas: more than "
            f"{share:.2%} of batches take longer, by a spread of {curve.spread:.0%} around a "
            f"median of {curve.service_ms[0]:.3g} ms."
        )
    fleet = partial(system, best.max_batch, best.max_wait_us)
    if own.target_qps and own.target_qps > MOST_REPLICAS * fleet().capacity_qps:
        raise ConfigError(f"plan.target_qps={own.target_qps:g} {TOO_MANY}.")

    def reached(replicas: int) -> Fleet:
        return Fleet(replicas, peak(fleet(replicas)))

    rates = [part * best.peak_qps for part in SHARES]
    return CapacityPlan(
        curve=curve,
        workers=workers,
        bound_ms=bound,
        percentile=full.percentile,
        late_share=share,
        batchings=batchings,
        best=best,
        tails=tuple((rate, tail_ms(fleet(), rate, full.percentile, QUERIES)) for rate in rates),
        fleets=tuple(map(reached, own.replicas)),
        target_qps=own.target_qps,
        needed=None if own.target_qps is None else smallest(own.target_qps, reached),
    )


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
