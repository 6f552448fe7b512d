"""One run: load samples, start the clock, watch, and keep what was measured."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from loadgen._queries import Queries
from loadgen._traffic import generate, loaded_sets
from loadgen.log import Ending, RunLog, joined
from loadgen.queries import queries_for
from loadgen.samples import LoadedSet, SampleLibrary
from loadgen.settings import Mode, Settings
from loadgen.sut import SystemUnderTest
from loadgen.takes import Takes

# Looking at a run costs it a little, so it happens ten times a second and no oftener.
WATCH_INTERVAL_S = 0.1
START_TIMEOUT_S = 30.0
JOIN_TIMEOUT_S = 5.0
RECENT = 4096


@dataclass(frozen=True)
class Progress:
    """A running run at one moment; counts in samples, ``total`` None for a closed loop.

    ``over_bound``: answered too late. ``waiting``: due and not yet taken.
    """

    settings: Settings
    elapsed_s: float
    issued: int
    completed: int
    failed: int
    over_bound: int
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


def run(
    settings: Settings,
    library: SampleLibrary,
    sut: SystemUnderTest,
    watch: Watch | None = None,
) -> RunLog:
    """Drive ``sut`` with the traffic that ``settings`` describe and record what it did.

    Blocks until every query is answered, the system fails or falls silent, ``watch`` returns
    True, or Ctrl-C; each of them ends in a log, which says so. Raises only what ``library``
    raises before the start.
    """
    logs = []
    for indices in loaded_sets(settings, library.total_count, library.performance_count):
        log = _run_set(settings, indices, library, sut, watch)
        logs.append(log)
        if settings.mode is Mode.PERFORMANCE or log.ending is not Ending.COMPLETE:
            break
    return joined(logs)


def _run_set(
    settings: Settings,
    indices: np.ndarray,
    library: SampleLibrary,
    sut: SystemUnderTest,
    watch: Watch | None,
) -> RunLog:
    queries = queries_for(settings, generate(settings, indices))
    unique = np.unique(indices)
    samples = library.load(unique)
    started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
    try:
        ending = _drive(queries, sut, watch) if _loaded(queries, sut, samples) else Ending.SUT_ERROR
        return _log(queries, ending, started_at)
    finally:
        sut.unload()
        library.unload(unique)


def _loaded(queries: Queries, sut: SystemUnderTest, samples: LoadedSet) -> bool:
    try:
        sut.load(samples)
    except Exception:
        queries.abort(traceback.format_exc())
        return False
    return True


def _drive(queries: Queries, sut: SystemUnderTest, watch: Watch | None) -> Ending:
    workers = [
        threading.Thread(target=_serve, args=(sut, queries, n), name=f"sut-{n}", daemon=True)
        for n in range(sut.workers)
    ]
    try:
        for worker in workers:
            worker.start()
        with frozen_heap():
            if queries.start(sut.workers, START_TIMEOUT_S):
                ending = _watch(queries, watch)
            else:
                queries.abort(f"{sut.name}: no worker took a query within {START_TIMEOUT_S} s")
                ending = Ending.SUT_ERROR
    except KeyboardInterrupt:
        ending = Ending.INTERRUPTED
    finally:
        queries.stop()
    # A worker that hangs in the model cannot be ended; it is a daemon and holds no lock.
    _join(workers, 0.2 if ending is Ending.SUT_TIMEOUT else JOIN_TIMEOUT_S)
    return ending


def _join(workers: list[threading.Thread], timeout_s: float) -> None:
    """Give the workers so long, all together, to end; a further Ctrl-C ends the waiting."""
    deadline = time.monotonic() + timeout_s
    with contextlib.suppress(KeyboardInterrupt):
        for worker in workers:
            worker.join(max(0.0, deadline - time.monotonic()))


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Keep what is on the Python heap out of the garbage collections of the timed part.

    A full collection of a program that has imported a few large packages holds every thread up
    for a tenth of a second; of what a run itself leaves behind, for microseconds.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _serve(sut: SystemUnderTest, queries: Queries, worker: int) -> None:
    try:
        sut.serve(queries, worker)
    except BaseException:
        queries.abort(traceback.format_exc())
    else:
        if queries.has_more:
            queries.abort(f"{sut.name}: serve returned before the run was over")


def _watch(queries: Queries, watch: Watch | None) -> Ending:
    """Wait for the end; whoever makes no headway for the timeout has fallen silent."""
    timeout_s = queries.settings.sut_timeout_ms / 1000
    answered, since = -1, time.monotonic()
    while not queries.wait(WATCH_INTERVAL_S):
        progress = _progress(queries)
        if watch and watch(progress):
            return Ending.STOPPED
        # A closed loop always has a next query, so to have none outstanding is to stand still.
        idle = progress.outstanding == 0 and progress.total is not None
        if progress.completed + progress.failed != answered or idle:
            answered, since = progress.completed + progress.failed, time.monotonic()
        elif time.monotonic() - since > timeout_s:
            return Ending.SUT_TIMEOUT
    return Ending.COMPLETE if queries.is_finished else Ending.SUT_ERROR


def _progress(queries: Queries) -> Progress:
    counts, elapsed_ns = queries.counts, queries.elapsed_ns
    traffic = queries.traffic
    total, waiting = None, 0
    if traffic.scheduled_ns is not None:
        total = len(traffic.sample_index)
        due = int(np.searchsorted(traffic.scheduled_ns, elapsed_ns, side="right"))
        waiting = max(0, due * traffic.samples_per_query - counts["issued"])
    return Progress(
        settings=queries.settings,
        elapsed_s=elapsed_ns / 1e9,
        issued=counts["issued"],
        completed=counts["completed"],
        failed=counts["failed"],
        over_bound=counts["over_bound"],
        waiting=waiting,
        total=total,
        queries=queries,
    )


def _log(queries: Queries, ending: Ending, started_at: str) -> RunLog:
    scheduled_ns, takes, answers, sample_index = queries.arrays
    first_token_ns, token_count, first_tokens = queries.token_arrays
    counts = queries.counts
    first_sample = np.arange(len(scheduled_ns)) * queries.traffic.samples_per_query
    return RunLog(
        settings=queries.settings,
        ending=ending,
        started_at=started_at,
        scheduled_ns=scheduled_ns,
        first_sample=first_sample,
        takes=Takes(takes, queries.apart_takes),
        answers=answers,
        sample_index=sample_index,
        responses=queries.responses,
        first_token_ns=first_token_ns,
        token_count=token_count,
        first_tokens=first_tokens,
        repeated=counts["repeated"],
        unknown=counts["unknown"],
        after_end=counts["after_end"],
        error=queries.first_error,
    )
