"""What a run is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum


class Scenario(StrEnum):
    """The four traffic patterns of the paper (Table II)."""

    SINGLE_STREAM = "single_stream"
    MULTI_STREAM = "multi_stream"
    SERVER = "server"
    OFFLINE = "offline"

    @property
    def closed_loop(self) -> bool:
        """Whether a query is issued only once the one before it is complete."""
        return self in (Scenario.SINGLE_STREAM, Scenario.MULTI_STREAM)


class Mode(StrEnum):
    """Measure speed on one loaded set, or run every sample once and keep the responses."""

    PERFORMANCE = "performance"
    ACCURACY = "accuracy"


@dataclass(frozen=True)
class Settings:
    """Settings of one run; times in the unit of their name, counts in queries unless said.

    ``percentile``: of the latency that is judged and reported, in percent (90 or 99, say).
    ``bound_ms``: the latency bound at that percentile, for ``server`` only.
    ``target_qps``: the Poisson rate of ``server``, the expected samples/s of ``offline``.
    ``confidence``: of the early-stopping test; None leaves the test out.
    ``spin_us``: how long before a query's time a waiting taker stops sleeping and spins.
    ``max_late_share``: largest share of waiting takes that may wake more than ``late_ms`` late.
    ``*_seed``: unsigned 64-bit seeds of the three random sequences.
    Raises ValueError for values that contradict each other.
    """

    scenario: Scenario
    mode: Mode = Mode.PERFORMANCE
    target_qps: float | None = None
    samples_per_query: int = 1
    percentile: float = 99.0
    bound_ms: float | None = None
    min_duration_ms: float = 10_000.0
    max_duration_ms: float | None = None
    min_query_count: int = 100
    max_query_count: int | None = None
    min_sample_count: int = 1
    confidence: float | None = 0.99
    sut_timeout_ms: float = 60_000.0
    spin_us: float = 0.0
    late_ms: float = 1.0
    max_late_share: float = 0.01
    qsl_seed: int = 0
    sample_index_seed: int = 0
    schedule_seed: int = 0

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(problem)

    def _problems(self) -> list[str]:
        open_loop = not self.scenario.closed_loop
        rate = self.target_qps
        checks = {
            f"target_qps={rate}: {self.scenario} needs a finite rate above 0": open_loop
            and (rate is None or not (math.isfinite(rate) and rate > 0)),
            f"percentile={self.percentile}: it must lie above 0 and below 100": not 0
            < self.percentile
            < 100,
            f"bound_ms={self.bound_ms}: it must be above 0": self.bound_ms is not None
            and self.bound_ms <= 0,
            "server needs bound_ms, the latency bound it is judged by": self.scenario
            is Scenario.SERVER
            and self.mode is Mode.PERFORMANCE
            and self.bound_ms is None,
            f"samples_per_query={self.samples_per_query}: only multi_stream may have more "
            "than one": self.samples_per_query < 1
            or (self.samples_per_query > 1 and self.scenario is not Scenario.MULTI_STREAM),
            f"max_duration_ms={self.max_duration_ms} is below min_duration_ms="
            f"{self.min_duration_ms}": self.max_duration_ms is not None
            and self.max_duration_ms < self.min_duration_ms,
            f"max_query_count={self.max_query_count} is below min_query_count="
            f"{self.min_query_count}": self.max_query_count is not None
            and self.max_query_count < self.min_query_count,
            f"min_duration_ms={self.min_duration_ms}: it must not be negative": self.min_duration_ms
            < 0,
            f"min_query_count={self.min_query_count}: it must be at least 1": self.min_query_count
            < 1,
            f"sut_timeout_ms={self.sut_timeout_ms}: it must be above 0": self.sut_timeout_ms <= 0,
        }
        return [problem for problem, wrong in checks.items() if wrong]
