"""One phase of a test: a run of our load generator around the user's callbacks."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from loadgen._queries import Queries
from loadgen._traffic import loaded_sets
from loadgen.log import Ending, RunLog
from loadgen.mlperf import serving
from loadgen.mlperf.caller import Caller
from loadgen.mlperf.handles import Samples, System
from loadgen.mlperf.mapping import to_settings
from loadgen.mlperf.settings import TestSettings
from loadgen.progress import Progress
from loadgen.runner import run
from loadgen.samples import LoadedSet
from loadgen.settings import Mode, Scenario, Settings
from loadgen.verdict import Verdict, judge

logger = logging.getLogger("loadgen.mlperf")


@dataclass(frozen=True)
class Outcome:
    """What a phase recorded, and the verdict."""

    settings: Settings
    log: RunLog
    verdict: Verdict
    total_count: int
    performance_count: int


class CallbackLibrary:
    """The user's samples; they get the indices in the order of the loaded set."""

    def __init__(self, samples: Samples, asked: TestSettings, mode: Mode, caller: Caller) -> None:
        self._samples, self._caller = samples, caller
        self.name = samples.name
        total = samples.total_count
        if mode is Mode.ACCURACY and asked.accuracy_sample_count_override:
            total = min(total, asked.accuracy_sample_count_override)
        wanted = asked.performance_sample_count_override or samples.performance_count
        if wanted > total:
            logger.info("performance_sample_count=%d: there are only %d samples", wanted, total)
        self.total_count, self.performance_count = total, min(wanted, total)
        self._order: list[list[int]] = []

    def expect(self, settings: Settings) -> None:
        """Prepare the sets that a run with ``settings`` loads one after the other."""
        sets = loaded_sets(settings, self.total_count, self.performance_count)
        self._order = [part.tolist() for part in reversed(sets)]

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """Have the next set loaded; raises what the callback raises."""
        order = self._order[-1]
        self._caller.call(lambda: self._samples.load(list(order)))
        return LoadedSet(indices, ())

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Have the set unloaded that was loaded last."""
        order = self._order.pop()
        self._caller.call(lambda: self._samples.unload(list(order)))


class CallbackSystem:
    """The user's system: one worker, whose work the calling thread does."""

    workers = 1

    def __init__(
        self, system: System, asked: TestSettings, settings: Settings, caller: Caller
    ) -> None:
        self.name = system.name
        self._system, self._asked, self._settings, self._caller = system, asked, settings, caller

    def load(self, samples: LoadedSet) -> None:
        """Nothing to do: the library's callback has loaded them."""

    def unload(self) -> None:
        """Nothing to do."""

    def serve(self, queries: Queries, worker: int) -> None:
        """Hand the queries to the callback, on the calling thread."""
        now = serving.Serving(queries, self._system)
        serving.current = now
        self._caller.call(lambda: self._ask(now, queries))

    def _ask(self, now: serving.Serving, queries: Queries) -> None:
        if self._caller.interrupted:  # a callback that is not yet called need not be interrupted
            raise KeyboardInterrupt
        now.ask(self._most(queries), self._limit())

    def _most(self, queries: Queries) -> int:
        if self._settings.scenario is Scenario.SERVER and self._asked.server_coalesce_queries:
            return len(queries.traffic.sample_index)
        return queries.traffic.samples_per_query

    def _limit(self) -> int:
        server = self._settings.scenario is Scenario.SERVER
        return self._asked.server_max_async_queries if server else 0


class Silence:
    """A watch that ends a run on Ctrl-C, and when no sample is answered for too long.

    Neither a callback that is still at work nor a system that sends first tokens is silent.
    """

    def __init__(self, timeout_ms: float, caller: Caller) -> None:
        self._timeout_s, self._caller = timeout_ms / 1000, caller
        self._answered, self._since = -1, time.monotonic()
        self.ending: Ending | None = None
        self._warned = False

    def __call__(self, progress: Progress) -> bool:
        if self._caller.is_interrupted():
            self.ending = Ending.INTERRUPTED
            return True
        now = serving.current
        answered = progress.completed + progress.failed + (now.first_tokens if now else 0)
        moved = answered != self._answered or progress.outstanding == 0
        if moved:
            self._answered, self._since = answered, time.monotonic()
        elif time.monotonic() - self._since > self._timeout_s:
            if now is None or not now.calling:
                self.ending = Ending.SUT_TIMEOUT
                return True
            if not self._warned:
                logger.warning("no sample answered for %g s; a callback runs", self._timeout_s)
                self._warned = True
        return False


def run_phase(
    asked: TestSettings,
    mode: Mode,
    system: System,
    samples: Samples,
    caller: Caller,
    target_qps: float | None = None,
) -> Outcome:
    """Run one phase and judge it; raises ValueError for settings that contradict each other."""
    settings = to_settings(asked, mode, target_qps)
    library = CallbackLibrary(samples, asked, mode, caller)
    library.expect(settings)
    sut = CallbackSystem(system, asked, settings, caller)
    silence = Silence(asked.sut_timeout_ms, caller)
    try:
        log = run(settings, library, sut, silence)
    finally:
        serving.current = None
    if caller.interrupted:
        log = replace(log, ending=Ending.INTERRUPTED)
    elif silence.ending is not None and log.ending is Ending.STOPPED:
        log = replace(log, ending=silence.ending)
    verdict = judge(log)
    return Outcome(settings, log, verdict, library.total_count, library.performance_count)
