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
# Of the batches, so many of the slowest and the fastest say nothing of the spread.
TRIMMED = 0.02


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
    ``seconds``; the first that takes longer than ``limit_ms`` is the last. The spread is that of
    all batches around the median of their size.
    """
    medians: list[float] = []
    factors: list[NDArray[np.float64]] = []
    for size in sizes:
        few = service_ns(go(size, _offline(size * FEWEST * workers)), size)
        count = int(np.clip(seconds * 1e9 / np.median(few), FEWEST, MOST)) * workers
        times_ns = service_ns(go(size, _offline(size * count)), size)
        medians.append(float(np.median(times_ns)))
        factors.append(np.log(times_ns / medians[-1]))
        if medians[-1] > limit_ms * 1e6:
            break
    low, high = np.quantile(np.concatenate(factors), (TRIMMED, 1 - TRIMMED))
    spread = float(np.std(np.clip(np.concatenate(factors), low, high)))
    measured = tuple(sizes[: len(medians)])
    return ServiceCurve(measured, tuple(ns / 1e6 for ns in medians), spread)


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
