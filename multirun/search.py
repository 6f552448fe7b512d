"""The search for the highest rate that a system sustains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["probe", "confirm"]


@dataclass(frozen=True)
class Probe:
    """One run of the search. ``tail_ms``: its tail latency, None if nothing was answered."""

    rate_qps: float
    kind: Kind
    passed: bool
    tail_ms: float | None
    over_share: float
    query_count: int
    duration_s: float


@dataclass(frozen=True)
class SearchSettings:
    """Rates in queries/s; shares of the rate for ``relative_tolerance`` and ``back_off``.

    ``ceiling_qps``: a rate known to be too high. ``guess_qps``: where to start.
    ``floor_qps``: below it nothing is looked for.
    """

    ceiling_qps: float
    guess_qps: float
    floor_qps: float
    relative_tolerance: float = 0.08
    max_probes: int = 16
    max_confirmations: int = 6
    back_off: float = 0.05


@dataclass(frozen=True)
class SearchResult:
    """``best_qps``: the highest confirmed rate, None if there is none; ``reason``: why it ended.

    ``low_qps`` passed and ``high_qps`` failed in the last short probes.
    """

    best_qps: float | None
    low_qps: float
    high_qps: float
    probes: tuple[Probe, ...]
    reason: str


Evaluate = Callable[[float, Kind], Probe]

# How far the first steps from the guess go, until the peak lies between two probes.
STRIDE = 1.25


def search(evaluate: Evaluate, settings: SearchSettings) -> SearchResult:
    """Bracket the peak from a guess, bisect, then confirm under the full rules.

    ``evaluate`` runs the system at a rate: shortly for a "probe", as the rules ask for a
    "confirm". A confirmation that fails steps back, by ``back_off`` at first, and tries again.
    """
    probes: list[Probe] = []

    def passes(rate: float, kind: Kind) -> bool:
        probes.append(evaluate(rate, kind))
        return probes[-1].passed

    low, high = 0.0, settings.ceiling_qps
    rate = min(settings.guess_qps, high / STRIDE)
    for _ in range(settings.max_probes):
        if passes(rate, "probe"):
            low = rate
        else:
            high = rate
        if high <= settings.floor_qps or high - low <= settings.relative_tolerance * high:
            break
        rate = _next_rate(low, high, settings)
    if low == 0.0:
        return SearchResult(None, low, high, tuple(probes), f"no rate above {high:.3g} qps passed")
    rate = low
    for attempt in range(1, settings.max_confirmations + 1):
        if passes(rate, "confirm"):
            return SearchResult(rate, low, high, tuple(probes), "confirmed under the full rules")
        # Each failure makes it less likely that the probes were right: the steps grow.
        rate *= max(1 - settings.back_off * attempt, 0.5)
    last = probes[-1].rate_qps
    reason = f"{settings.max_confirmations} confirming runs failed, the last at {last:.3g} qps"
    return SearchResult(None, low, high, tuple(probes), reason)


def _next_rate(low: float, high: float, settings: SearchSettings) -> float:
    """The rate to probe, given the bracket: a stride out of it or else its middle."""
    if low == 0.0:
        return max(high / STRIDE**2, settings.floor_qps * 0.999)
    if high == settings.ceiling_qps:
        return min(low * STRIDE, (low + high) / 2)
    return (low + high) / 2
