"""Measuring how long a real system serves a batch, by its size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from loadgen import RunLog, Scenario, Settings
from sut.curve import ServiceCurve

# Batches of each size: at least so many, and as many as there is time for.
FEWEST, MOST = 8, 2000
# Single batches' times are kept as so many quantiles of each size.
QUANTILES = 200


def profile(
    sizes: Sequence[int],
    go: Callable[[int, Settings], RunLog],
    *,
    workers: int,
    seconds: float,
    limit_ms: float = math.inf,
) -> ServiceCurve:
    """Median service times in full batches of ascending ``sizes``, all workers busy.

    ``go(size, settings)`` runs the system with that batch limit. Each size takes about
    ``seconds``; the first that takes longer than ``limit_ms`` is the last. How single batches of a
    size differ is kept with the rare slow ones: they make the tail.
    """
    medians_ms: list[float] = []
    factors: list[NDArray[np.float64]] = []
    places = (np.arange(QUANTILES) + 0.5) / QUANTILES
    for size in sizes:
        few = service_ns(go(size, _offline(size * FEWEST * workers)), size)
        count = int(np.clip(seconds * 1e9 / np.median(few), FEWEST, MOST)) * workers
        times_ms = service_ns(go(size, _offline(size * count)), size) / 1e6
        medians_ms.append(float(np.median(times_ms)))
        factors.append((np.quantile(times_ms, places) / medians_ms[-1]).round(4))
        if medians_ms[-1] > limit_ms:
            break
    return ServiceCurve(
        tuple(sizes[: len(factors)]),
        tuple(medians_ms),
        min(float(np.std(np.log(np.concatenate(factors)))), 3.0),
        tuple(tuple(some.tolist()) for some in factors),
    )


def service_ns(log: RunLog, size: int) -> NDArray[np.int64]:
    """int64[b]: from take to answer of the full batches of ``size``, in ns.

    Raises ValueError if there was none.
    """
    takes = log.takes
    times_ns = (log.completed_ns[takes.first] - takes.at_ns)[takes.sizes == size]
    if len(times_ns) == 0:
        raise ValueError(f"the system took no batch of {size}")
    return times_ns


def _offline(samples: int) -> Settings:
    return Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_duration_ms=0,
        min_query_count=1,
        min_sample_count=samples,
        confidence=None,
    )
