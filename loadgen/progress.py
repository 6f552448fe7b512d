"""How far a run has come, for whoever watches it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from loadgen._queries import Queries
from loadgen.settings import Settings

RECENT = 4096
FOREVER_MS = 1e12


@dataclass(frozen=True)
class Progress:
    """A running run at one moment; counts in samples, ``total`` None for a closed loop.

    ``over_bound``: answered too late. ``overdue``: not answered, and at least so many too late
    already. ``waiting``: due and not yet taken. ``known``: of so many it is known whether they are
    late. With tokens, what is late and known is the first token, or the time for each further one
    if more are over that.
    """

    settings: Settings
    elapsed_s: float
    issued: int
    completed: int
    failed: int
    over_bound: int
    overdue: int
    known: int
    waiting: int
    total: int | None
    queries: Queries

    @property
    def outstanding(self) -> int:
        """Taken and not yet answered, or due and not yet taken."""
        return self.issued - self.completed - self.failed + self.waiting

    def recent_percentile_ms(self) -> float | None:
        """The judged percentile of the last few thousand latencies, None without any."""
        scheduled_ns, _, completed_ns, _ = self.queries.arrays
        per_query = self.queries.traffic.samples_per_query
        if per_query > RECENT:
            return None
        recent = min(len(scheduled_ns), RECENT // per_query)
        first = len(scheduled_ns) - recent
        ends = np.full(recent * per_query, -1)
        ends[: len(completed_ns) - first * per_query] = completed_ns[first * per_query :]
        by_query = ends.reshape(recent, per_query)
        answered = by_query.min(axis=1, initial=2**62) >= 0
        latency_ns = (by_query.max(axis=1, initial=-1) - scheduled_ns[first:])[answered]
        if len(latency_ns) == 0:
            return None
        return float(np.percentile(latency_ns, self.settings.percentile)) / 1e6


# Returns True to end the run early.
Watch = Callable[[Progress], bool | None]


def progress_of(queries: Queries) -> Progress:
    """How far ``queries`` have come."""
    counts, elapsed_ns = queries.counts, queries.elapsed_ns
    traffic, settings = queries.traffic, queries.settings
    tokens = settings.use_token_latencies
    known = counts["begun"] if tokens else counts["completed"] + counts["failed"]
    total, waiting, overdue = None, 0, 0
    if traffic.scheduled_ns is not None:
        total = len(traffic.sample_index)
        due = int(np.searchsorted(traffic.scheduled_ns, elapsed_ns, side="right"))
        waiting = max(0, due * traffic.samples_per_query - counts["issued"])
        # Whole numbers: for a fraction NumPy would copy the schedule.
        bound_ms = settings.ttft_bound_ms if tokens else settings.bound_ms
        bound_ns = int((bound_ms or FOREVER_MS) * 1e6)
        past = int(np.searchsorted(traffic.scheduled_ns, elapsed_ns - bound_ns))
        overdue = max(0, past * traffic.samples_per_query - known)
    return Progress(
        settings=settings,
        elapsed_s=elapsed_ns / 1e9,
        issued=counts["issued"],
        completed=counts["completed"],
        failed=counts["failed"],
        over_bound=max(counts["over_bound"], counts["over_tpot"] - overdue),
        overdue=overdue,
        known=known + overdue,
        waiting=waiting,
        total=total,
        queries=queries,
    )
