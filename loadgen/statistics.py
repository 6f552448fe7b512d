"""Percentiles, early stopping and query counts, as the rules define them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, ndtri

if TYPE_CHECKING:
    from loadgen.settings import Settings

Integers = NDArray[np.int64] | NDArray[np.int32] | NDArray[np.uint32]

PERCENTILES = (50.0, 90.0, 95.0, 97.0, 99.0, 99.9)


def ascending(values: Integers) -> Integers:
    """``values`` sorted; as 32-bit numbers where they fit, which sort faster."""
    ordered = _copied(values)
    ordered.sort()
    return ordered


def _copied(values: Integers) -> Integers:
    fits = len(values) > 0 and values.min() >= 0 and values.max() < 2**32
    return values.astype(np.uint32) if fits else values.copy()


def percentiles(values: Integers, percents: Sequence[float]) -> list[int]:
    """The rules' percentiles of values in any order, found without sorting them all."""
    places = [_place(len(values), percent) for percent in percents]
    parted = _copied(values)
    parted.partition(places)
    return [int(parted[place]) for place in places]


def percentile(ordered: Integers, percent: float) -> int:
    """The rules' percentile of ascending values: the element at int(n * percent / 100).

    Raises ValueError without values.
    """
    if len(ordered) == 0:
        raise ValueError("no value has a percentile")
    return int(ordered[_place(len(ordered), percent)])


def _place(count: int, percent: float) -> int:
    return min(count - 1, int(count * (percent / 100)))


def latencies_ms(ordered_ns: Integers, judged: float) -> dict[str, float]:
    """min, mean, max and the usual percentiles and the judged one, of ascending values in ns."""
    if len(ordered_ns) == 0:
        return {}
    percents = sorted({*PERCENTILES, judged})
    figures = {f"p{percent:g}": percentile(ordered_ns, percent) / 1e6 for percent in percents}
    return {
        "min": float(ordered_ns[0]) / 1e6,
        "mean": float(ordered_ns.mean()) / 1e6,
        **figures,
        "max": float(ordered_ns[-1]) / 1e6,
    }


def required_queries(percent: float, confidence: float = 0.99) -> int:
    """Queries that make a tail-latency percentile trustworthy (Eq. 1 and 2 of the paper)."""
    tail = percent / 100
    margin = (1 - tail) / 20
    return round(float(ndtri((1 - confidence) / 2) ** 2 * tail * (1 - tail) / margin**2))


def percentile_interval(
    ordered: Integers, percent: float, confidence: float = 0.95
) -> tuple[int, int] | None:
    """Two observed values between which the true percentile lies with ``confidence``.

    Distribution-free, from the binomial law of how many of ``ordered`` (ascending, independent)
    lie below the percentile. None where there are too few values to bound it on both sides.
    """
    from scipy.stats import binom  # takes longer to import than all else, and comes after a run

    count, share, outside = len(ordered), percent / 100, (1 - confidence) / 2
    if count == 0:
        return None
    low = int(binom.ppf(outside, count, share)) - 1
    high = int(binom.ppf(1 - outside, count, share))
    if low < 0 or high >= count:
        return None
    return int(ordered[low]), int(ordered[high])


@lru_cache(maxsize=4096)
def early_stopping_count(over: int, percent: float, confidence: float = 0.99) -> int:
    """Least number of queries of which ``over`` may exceed the bound.

    With that many, ``confidence`` is reached that the true share over the bound is at most
    ``1 - percent / 100``: the binomial test of the rules' early stopping, tolerance 0.
    """
    within = 1
    while not _enough(within, over, percent, confidence):
        within *= 2
    lowest = within // 2
    while within - lowest > 1:
        middle = (within + lowest) // 2
        if _enough(middle, over, percent, confidence):
            within = middle
        else:
            lowest = middle
    return within + over


def _enough(within: int, over: int, percent: float, confidence: float) -> bool:
    return bool(betainc(within, over + 1, percent / 100) < 1 - confidence)


def allowed_over(queries: int, percent: float, confidence: float = 0.99) -> int:
    """Most of ``queries`` that may exceed the bound in a run that passes; -1 if none can pass."""
    low, high = -1, queries
    while high - low > 1:
        middle = (low + high) // 2
        if early_stopping_count(middle, percent, confidence) <= queries:
            low = middle
        else:
            high = middle
    return low


def surely_over(over: int, queries: int, percent: float, doubt: float = 1e-3) -> bool:
    """Whether so many late ones of ``queries`` show that the percentile lies over the bound.

    The chance of as many or more, were just the allowed share late, is below ``doubt``.
    """
    if not 0 < over <= queries:
        return False
    return bool(betainc(over, queries - over + 1, 1 - percent / 100) < doubt)


def needed_queries(settings: Settings, queries: int, over: int, at_most_over: int) -> int:
    """How many queries an extending run should have, given ``queries`` with so many over.

    ``queries`` if the early-stopping test has passed even with ``at_most_over``, or has failed
    because the percentile itself lies over the bound; more if it is undecided. Of two tests, the
    one with more over their bound decides for both.
    """
    assert settings.confidence is not None
    share = 1 - settings.percentile / 100
    if over > share * queries:
        return queries
    return max(
        queries, early_stopping_count(at_most_over, settings.percentile, settings.confidence)
    )


def upper_estimate(ordered: Integers, percent: float, confidence: float) -> int | None:
    """The early-stopping estimate of a percentile: at least the true one with ``confidence``.

    ``ordered``: ascending. None where there are too few values for one to be over.
    """
    over = allowed_over(len(ordered), percent, confidence)
    return None if over < 1 else int(ordered[len(ordered) - over])


def cluster_squares(latency_ms: np.ndarray, bound_ms: float) -> float:
    """Sum of the squared sizes of the clusters that the late queries come in.

    A cluster ends with a query whose latency is back in the lower half of what the bound leaves.
    """
    late = latency_ms > bound_ms
    if not late.any():
        return 0.0
    relaxed = latency_ms < (float(latency_ms.min()) + bound_ms) / 2
    _, sizes = np.unique(np.cumsum(relaxed)[late], return_counts=True)
    return float((sizes.astype(float) ** 2).sum())
