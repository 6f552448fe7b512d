"""Times of tokens, and the constraints on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from loadgen.log import RunLog
from loadgen.mlperf.samples import QuerySampleResponse
from loadgen.mlperf.settings import TestSettings
from loadgen.settings import Mode, Scenario
from loadgen.statistics import allowed_over, early_stopping_count, percentile
from loadgen.verdict import Constraint, Verdict


class Tokens:
    """First-token times (ns after the start of the set) and token counts, by sample in a run."""

    def __init__(self) -> None:
        # Single assignments of a dict: completions may come from many threads.
        self.first_ns: dict[int, int] = {}
        self.counts: dict[int, int] = {}

    def first(self, places: NDArray[np.int64], at_ns: int) -> None:
        """The first tokens of the samples at ``places`` came at ``at_ns``."""
        for place in places.tolist():
            self.first_ns.setdefault(place, at_ns)

    def done(self, responses: Sequence[QuerySampleResponse], first_id: int) -> None:
        """The whole responses came."""
        for response in responses:
            self.counts.setdefault(response.id - first_id, response.n_tokens)

    def latencies_ns(self, log: RunLog) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ascending times to first token and per output token of the answered samples."""
        done = np.flatnonzero(log.done)
        done = np.array([i for i in done.tolist() if i in self.first_ns], np.int64)
        if len(done) == 0:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        query = np.searchsorted(log.first_sample, done, side="right") - 1
        first = np.array([self.first_ns[i] for i in done.tolist()], np.int64)
        count = np.array([self.counts.get(i, 0) for i in done.tolist()], np.int64)
        several = count > 1
        per_token = (log.completed_ns[done] - first)[several] // (count[several] - 1)
        return np.sort(first - log.scheduled_ns[query]), np.sort(per_token)

    def judged(self, verdict: Verdict, log: RunLog, settings: TestSettings) -> Verdict:
        """``verdict`` with the constraints on tokens in place of those on the query latency."""
        asked = log.settings
        if asked.mode is not Mode.PERFORMANCE:
            return verdict
        rows = list(verdict.constraints)
        rows.append(self._counted(log))
        if asked.scenario is Scenario.SERVER:
            replaced = {f"p{asked.percentile:g}_latency", "early_stopping"}
            rows = [row for row in rows if row.name not in replaced]
            first, each = self.latencies_ns(log)
            bounds = (("ttft", first, settings.ttft_latency), ("tpot", each, settings.tpot_latency))
            for name, values, bound_ns in bounds:
                rows += _bounded(name, values, bound_ns, asked.percentile, asked.confidence)
        return replace(verdict, constraints=tuple(rows), valid=all(row.passed for row in rows))

    def _counted(self, log: RunLog) -> Constraint:
        done = np.flatnonzero(log.done).tolist()
        few = sum(self.counts.get(i, 0) < 2 for i in done)
        offline = log.settings.scenario is Scenario.OFFLINE
        late = 0 if offline else sum(i not in self.first_ns for i in done)
        passed = few == late == 0
        hint = "set n_tokens of each response and call FirstTokenComplete before its completion"
        return Constraint(
            "tokens",
            "a first token, and 2 tokens or more, for each sample",
            f"{few:,} with fewer, {late:,} without a first token",
            passed,
            "" if passed else hint,
        )


def _bounded(
    name: str, values: NDArray[np.int64], bound_ns: int, percent: float, confidence: float | None
) -> list[Constraint]:
    measured = percentile(values, percent) if len(values) else None
    passed = measured is not None and measured <= bound_ns
    rows = [
        Constraint(
            f"p{percent:g}_{name}",
            f"<= {bound_ns / 1e6:g} ms",
            "no token" if measured is None else f"{measured / 1e6:.3f} ms",
            passed,
            "" if passed else "lower the rate, or make the system faster",
        )
    ]
    if confidence is not None:
        over = int((values > bound_ns).sum())
        most = allowed_over(len(values), percent, confidence)
        needed = early_stopping_count(over, percent, confidence)
        hint = f"{over:,} over the bound need {needed:,} values, there are {len(values):,}"
        sure = over <= most
        required = f"<= {max(most, 0):,} over the bound"
        row = Constraint(
            f"early_stopping_{name}", required, f"{over:,}", sure, "" if sure else hint
        )
        rows.append(row)
    return rows
