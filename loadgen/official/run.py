"""A finished run with the names and counts that its logs mention."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from loadgen._traffic import loaded_sets
from loadgen.log import RunLog
from loadgen.settings import Mode, Scenario, Settings
from loadgen.verdict import Verdict

SCENARIO_NAMES = {
    Scenario.SINGLE_STREAM: "SingleStream",
    Scenario.MULTI_STREAM: "MultiStream",
    Scenario.SERVER: "Server",
    Scenario.OFFLINE: "Offline",
}
MODE_NAMES = {Mode.PERFORMANCE: "PerformanceOnly", Mode.ACCURACY: "AccuracyOnly"}


@dataclass(frozen=True)
class Stretch:
    """One loaded set of a run: ``loaded``, int64[m], what was asked of it, and when."""

    loaded: NDArray[np.int64]
    query_count: int
    samples_per_query: int
    begin_ns: int
    last_query_ns: int
    end_ns: int


@dataclass(frozen=True)
class FinishedRun:
    """What the log files are written from."""

    log: RunLog
    verdict: Verdict
    sut_name: str
    library_name: str
    total_count: int
    performance_count: int

    @property
    def settings(self) -> Settings:
        """The settings the run had."""
        return self.log.settings

    @cached_property
    def started_at(self) -> datetime:
        """When the clock of the run started."""
        return datetime.fromisoformat(self.log.started_at)

    def moment(self, at_ns: int) -> str:
        """Time of day, UTC, so long after the start, as power meters' logs have it."""
        moment = self.started_at + timedelta(microseconds=at_ns / 1000)
        return moment.strftime("%m-%d-%Y %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"

    def stretches(self) -> Iterator[Stretch]:
        """The loaded sets that the run came to, one after the other."""
        log, per_query = self.log, self.settings.samples_per_query
        offline = self.settings.scenario is Scenario.OFFLINE
        first, begin_ns = 0, 0
        for loaded in loaded_sets(self.settings, self.total_count, self.performance_count):
            samples = len(log.sample_index) - first
            if self.settings.mode is Mode.ACCURACY:
                queries = -(-(len(loaded) - per_query + 1) // per_query)
                samples = min(samples, queries * per_query)
            if samples <= 0:
                break
            of_one = samples if offline else per_query
            last = min((first + samples - 1) // per_query, len(log.scheduled_ns) - 1)
            last_ns = 0 if offline else int(log.scheduled_ns[last]) - begin_ns
            end_ns = max(begin_ns, int(log.completed_ns[first : first + samples].max()))
            yield Stretch(loaded, -(-samples // of_one), of_one, begin_ns, last_ns, end_ns)
            first, begin_ns = first + samples, end_ns
