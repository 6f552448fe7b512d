"""Answers that come token by token: their figures, and what is asked of them.

TTFT, the time to the first token, counts from the scheduled time; TPOT, the time per output
token, is the rest of the latency shared among the further tokens, rounded down to a nanosecond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadgen.constraint import Constraint, surely_within, within_bound
from loadgen.log import RunLog
from loadgen.settings import Mode, Scenario, Settings
from loadgen.statistics import Integers, ascending, latencies_ms

NAMED = 5


@dataclass(frozen=True)
class TokenStatistics:
    """Figures of tokens, over the answered samples that they are known of.

    ``*_over_count``: values over their bound, None without a bound. ``per_s``: tokens per second
    of run time.
    """

    count: int
    per_s: float | None
    ttft_ms: dict[str, float]
    tpot_ms: dict[str, float]
    ttft_count: int
    tpot_count: int
    ttft_over_count: int | None
    tpot_over_count: int | None


def token_latencies_ns(log: RunLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """int64, int64: TTFT and TPOT of the answered samples that have them, in issue order."""
    if log.first_token_ns is None or log.token_count is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    begun = np.flatnonzero(log.done & (log.first_token_ns >= 0))
    several = begun[log.token_count[begun] > 1]
    rest_ns = log.completed_ns[several] - log.first_token_ns[several]
    ttft_ns = log.first_token_ns[begun] - log.due_ns(begun)
    return ttft_ns, rest_ns // (log.token_count[several] - 1)


def token_statistics(log: RunLog, settings: Settings) -> TokenStatistics | None:
    """The figures of ``log``, None where tokens were not asked for."""
    if log.token_count is None:
        return None
    ttft_ns, tpot_ns = (ascending(values) for values in token_latencies_ns(log))
    count = int(log.token_count[log.done].sum(dtype=np.int64))
    duration_s = float(log.completed_ns.max(initial=0)) / 1e9
    return TokenStatistics(
        count=count,
        per_s=count / duration_s if duration_s > 0 else None,
        ttft_ms=latencies_ms(ttft_ns, settings.percentile),
        tpot_ms=latencies_ms(tpot_ns, settings.percentile),
        ttft_count=len(ttft_ns),
        tpot_count=len(tpot_ns),
        ttft_over_count=_over(ttft_ns, settings.ttft_bound_ms),
        tpot_over_count=_over(tpot_ns, settings.tpot_bound_ms),
    )


def _over(values_ns: Integers, bound_ms: float | None) -> int | None:
    return None if bound_ms is None else int((values_ns > bound_ms * 1e6).sum())


def token_rows(
    log: RunLog, settings: Settings, statistics: TokenStatistics | None
) -> Iterator[Constraint]:
    """What is asked of tokens: that they are told of and, of a server, that they come in time."""
    yield _told(log, settings)
    judged = settings.mode is Mode.PERFORMANCE and settings.scenario is Scenario.SERVER
    if statistics is None or not judged:
        return
    name = f"p{settings.percentile:g}"
    for kind in ("ttft", "tpot"):
        bound_ms = getattr(settings, f"{kind}_bound_ms")
        yield within_bound(f"{name}_{kind}", getattr(statistics, f"{kind}_ms").get(name), bound_ms)
        if settings.confidence is not None:
            count = getattr(statistics, f"{kind}_count")
            over = getattr(statistics, f"{kind}_over_count")
            yield surely_within(f"early_stopping_{kind}", count, over, settings)


def _told(log: RunLog, settings: Settings) -> Constraint:
    """Offline needs no first tokens."""
    required = "a first token, and 2 tokens or more, for each sample"
    if log.first_token_ns is None or log.token_count is None:
        return Constraint("tokens", required, "not recorded", False, "run with use_token_latencies")
    few = np.flatnonzero(log.done & (log.token_count < 2))
    silent = np.flatnonzero(log.done & (log.first_token_ns < 0))
    if settings.scenario is Scenario.OFFLINE:
        silent = silent[:0]
    passed = len(few) == len(silent) == 0
    ids = ", ".join(str(i) for i in np.union1d(few, silent)[:NAMED])
    hint = f"tell of first tokens before answers, and of their number with them; first ids: {ids}"
    return Constraint(
        "tokens",
        required,
        f"{len(few):,} with fewer, {len(silent):,} without a first token",
        passed,
        "" if passed else hint,
    )
