"""Measuring how long a real system serves a batch, by its size, and how that changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from loadgen import RunLog, Scenario, Settings
from sut.curve import ServiceCurve
from sut.trace import Trace, lanes

# Batches by which a size's time is estimated, and the most that each worker's trace has of it.
FEWEST, MOST = 8, 6000
# All sizes are measured in turn, so often: what lasts for seconds meets each of them.
ROUNDS = 12


def profile(
    sizes: Sequence[int],
    go: Callable[[int, Settings], RunLog],
    *,
    workers: int,
    seconds: float,
    limit_ms: float = math.inf,
) -> ServiceCurve:
    """Median service times in full batches of ascending ``sizes``, all workers busy, and a trace.

    ``go(size, settings)`` runs the system with that batch limit. Each size takes about
    ``seconds``, in rounds of all sizes; the first that takes longer than ``limit_ms`` is the last.
    """
    counts: dict[int, int] = {}
    for size in sizes:
        log = go(size, _offline(size * FEWEST * workers))
        expected_ms = float(np.median(np.concatenate(stretches_ms(log, size, workers))))
        counts[size] = int(np.clip(seconds * 1e3 / expected_ms, ROUNDS, MOST)) // ROUNDS
        if expected_ms > limit_ms:
            break
    found: dict[int, list[list[NDArray[np.float64]]]] = {size: [] for size in counts}
    for _ in range(ROUNDS):
        for size, count in counts.items():
            log = go(size, _offline(size * count * workers))
            found[size].append(stretches_ms(log, size, workers))
    return _curve(found, workers)


def _curve(found: dict[int, list[list[NDArray[np.float64]]]], workers: int) -> ServiceCurve:
    """From the times in ms of each size, [round][lane][batch]."""
    times = [np.concatenate([np.concatenate(lane) for lane in own]) for own in found.values()]
    medians = [float(np.median(own)) for own in times]
    spread = np.std(
        np.concatenate([np.log(own / ms) for own, ms in zip(times, medians, strict=True)])
    )
    total_ms = sum(float(own.sum()) for own in times) / workers
    trace = Trace(
        tuple(
            tuple(tuple(one[lane].round(6).tolist()) for lane in range(workers) for one in own)
            for own in found.values()
        ),
        workers,
        total_ms / ROUNDS,
    )
    return ServiceCurve(tuple(found), tuple(medians), min(float(spread), 3.0), trace)


def stretches_ms(log: RunLog, size: int, workers: int) -> list[NDArray[np.float64]]:
    """For each worker, from take to answer of its full batches of ``size``, in ms.

    Raises ValueError if there was none; a worker that had none is given the others'.
    """
    takes = log.takes
    begins, ends, full = takes.at_ns, log.completed_ns[takes.first], takes.sizes == size
    times_ms = (ends - begins) / 1e6
    if not full.any():
        raise ValueError(f"the system took no batch of {size}")
    own = [times_ms[places[full[places]]] for places in lanes(begins, ends, workers)]
    return [times if len(times) else times_ms[full] for times in own]


def _offline(samples: int) -> Settings:
    return Settings(
        scenario=Scenario.OFFLINE,
        target_qps=1.0,
        min_duration_ms=0,
        min_query_count=1,
        min_sample_count=samples,
        confidence=None,
    )
