"""What the queueing of a simulated system says of its peak, before anything real is loaded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from loadgen import Scenario, Settings, run
from loadgen.samples import NoSamples
from loadgen.statistics import cluster_squares
from sut.simulated import SimulatedSut

QUERIES = 40_000
# A step of the rate's logarithm, wide enough for the late share to change well.
STEP = 0.02
# A rate so much below the capacity, in its logarithm, is that of an idle system.
IDLE = 8


Asked = Callable[[float], tuple[int, float]]
"""Of a run at a rate: its queries, and the share of them that may be late."""


@dataclass(frozen=True)
class Prediction:
    """The rate with a given late share, and the exponent with which that share grows there.

    ``dispersion``: in what size of a cluster a late query is on average.
    """

    peak_qps: float
    slope: float
    dispersion: float


def late_share(
    sut: SimulatedSut,
    rate_qps: float,
    bound_ms: float,
    queries: int = QUERIES,
    seed: int = 0,
    run_queries: int | None = None,
) -> float:
    """Share of Poisson arrivals that the simulated system answers later than ``bound_ms``.

    The same arrivals at every rate, so that it grows smoothly with it. ``run_queries``: the share
    is that of the middle one among runs of so many, where there are several: late queries come
    together, and hardly touch most of the runs.
    """
    late = _latency_ms(sut, rate_qps, bound_ms, queries, seed) > bound_ms
    if run_queries is None or run_queries > queries / 2:
        return float(late.mean())
    runs = len(late) // run_queries
    return float(np.median(late[: runs * run_queries].reshape(runs, run_queries).mean(axis=1)))


def tail_ms(
    sut: SimulatedSut, rate_qps: float, percent: float, queries: int = QUERIES, seed: int = 0
) -> float:
    """The percentile ``percent`` of the latency at a rate, in ms."""
    return float(np.percentile(_latency_ms(sut, rate_qps, 1.0, queries, seed), percent))


def _latency_ms(
    sut: SimulatedSut, rate_qps: float, bound_ms: float, queries: int, seed: int = 0
) -> NDArray[np.float64]:
    settings = Settings(
        scenario=Scenario.SERVER,
        target_qps=rate_qps,
        bound_ms=bound_ms,
        min_duration_ms=0,
        min_query_count=queries,
        schedule_seed=seed,
        sut_timeout_ms=1e12,
    )
    return run(settings, NoSamples(), sut).latency_ns / 1e6


def peak_qps(
    sut: SimulatedSut, bound_ms: float, asked: Asked, queries: int = QUERIES, within: float = 2e-3
) -> float:
    """The highest rate at which every second run is as is ``asked``, to a part ``within`` of it.

    ``queries``: of a simulation; a run that is longer than half of it is judged by its mean.
    Raises ValueError if an idle system is slower than the bound already, by service or by chance.
    """
    fastest_ms = float(sut.service_ms.min())
    if fastest_ms > bound_ms:
        raise ValueError(f"one query takes {fastest_ms:.3g} ms, the bound is {bound_ms:g} ms")

    def excess(log_rate: float) -> float:
        run_queries, share = asked(math.exp(log_rate))
        late = late_share(sut, math.exp(log_rate), bound_ms, queries, run_queries=run_queries)
        return late - share

    # Above the capacity of full batches nearly all are late.
    high = math.log(1.5 * sut.capacity_qps)
    low = high - 1
    while (over := excess(low)) >= 0:
        low -= 1
        if low < high - IDLE:
            late = over + asked(math.exp(low))[1]
            raise ValueError(f"{late:.2%} are later than {bound_ms:g} ms on an idle system already")
    while high - low > within:
        middle = (low + high) / 2
        if excess(middle) < 0:
            low = middle
        else:
            high = middle
    return math.exp(low)


def predict(sut: SimulatedSut, bound_ms: float, share: float) -> Prediction:
    """Where the late share reaches ``share``; ValueError if an idle system is slower already."""
    low = math.log(peak_qps(sut, bound_ms, lambda rate: (QUERIES, share)))
    below, above = (
        np.clip(late_share(sut, math.exp(low + step), bound_ms, 10 * QUERIES), 1e-5, 1 - 1e-5)
        for step in (-STEP / 2, STEP / 2)
    )
    latency_ms = _latency_ms(sut, math.exp(low), bound_ms, 10 * QUERIES)
    late = int((latency_ms > bound_ms).sum())
    return Prediction(
        peak_qps=math.exp(low),
        slope=max(float(logit(above) - logit(below)) / STEP, 1.0),
        dispersion=cluster_squares(latency_ms, bound_ms) / late if late else 1.0,
    )
