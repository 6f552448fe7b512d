"""Runs that the rules want several of: the worst of them is the result (paper, III-D)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from loadgen import Constraint, RunLog, Verdict


@dataclass
class Repeats:
    """The runs made with the same settings, of which ``wanted`` must be valid."""

    wanted: int
    runs: list[tuple[RunLog, Verdict]] = field(default_factory=list)

    @property
    def valid_count(self) -> int:
        """How many of the runs are valid."""
        return sum(verdict.valid for _, verdict in self.runs)

    @property
    def open(self) -> bool:
        """Whether another run is wanted: one that is not valid decides."""
        return self.valid_count == len(self.runs) < self.wanted

    @property
    def complete(self) -> bool:
        """Whether all that are wanted are there and valid."""
        return self.valid_count == self.wanted

    def add(self, log: RunLog, verdict: Verdict) -> None:
        """Add a run; one at another rate, or after the last one wanted, starts anew."""
        if self.runs and not (self.open and log.settings == self.runs[0][0].settings):
            self.runs.clear()
        self.runs.append((log, verdict))

    @property
    def worst(self) -> tuple[RunLog, Verdict]:
        """The run that counts; where several are wanted, with a row that says how many there are.

        An invalid run is worse than a valid one, and a slow tail worse than a fast one.
        """
        log, verdict = min(self.runs, key=lambda run: (run[1].valid, -_tail_ms(*run)))
        if self.wanted == 1:
            return log, verdict
        row = Constraint(
            "server_runs",
            f"{self.wanted} valid, the worst counts",
            f"{self.valid_count} valid of {len(self.runs)}",
            self.complete,
            "" if self.complete else "all runs at the rate must be valid: lower it",
        )
        rows = (*verdict.constraints, row)
        return log, replace(verdict, valid=verdict.valid and self.complete, constraints=rows)

    @property
    def figures(self) -> list[dict[str, Any]]:
        """A few figures of each run, for the record."""
        return [
            {
                "valid": verdict.valid,
                "metric": verdict.metric.value,
                "tail_ms": _tail_ms(log, verdict),
                "scheduled_qps": verdict.statistics.scheduled_qps,
                "query_count": verdict.statistics.query_count,
                "duration_s": verdict.statistics.duration_s,
                "started_at": log.started_at,
            }
            for log, verdict in self.runs
        ]


def _tail_ms(log: RunLog, verdict: Verdict) -> float:
    return verdict.statistics.latency_ms.get(f"p{log.settings.percentile:g}", 0.0)
