"""Systems under test at work side by side: their threads, one start, and an end for each."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from loadgen._queries import Queries, start_together
from loadgen.log import Ending
from loadgen.meter import Meter
from loadgen.progress import Watch, progress_of
from loadgen.sut import SimulatedSystem, SystemUnderTest

# Looking at a run costs it a little, so it happens ten times a second and no oftener.
WATCH_INTERVAL_S = 0.1
START_TIMEOUT_S = 30.0
JOIN_TIMEOUT_S = 5.0


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class Drive:
    """A system under test and the queries it is asked; ``ending`` is None until it has ended.

    ``raised``: whether ``serve`` did, of any worker.
    """

    queries: Queries
    sut: SystemUnderTest | SimulatedSystem
    watch: Watch | None = None
    ending: Ending | None = None
    meter: Meter | None = None
    metered: object | None = None
    started_at: str = field(default_factory=_now)
    raised: bool = False
    _answered: int = -1
    _since: float = 0.0

    @property
    def cut_short(self) -> bool:
        """Whether it has ended, and not because every query was answered."""
        return self.ending not in (None, Ending.COMPLETE)

    def end(self, ending: Ending, error: str | None = None) -> None:
        """End it now; ``error`` says why, unless something has before."""
        self.ending = ending
        if error is not None:
            self.queries.abort(error)
        self.queries.stop()

    def look(self, now_s: float) -> None:
        """Notice its end; whoever makes no headway for the timeout has fallen silent."""
        if self.queries.wait(0):
            self.ending = Ending.COMPLETE if self.queries.is_finished else Ending.SUT_ERROR
            return
        progress = progress_of(self.queries)
        if self.watch and self.watch(progress):
            self.ending = Ending.STOPPED
            return
        answered = progress.completed + progress.failed
        # A closed loop always has a next query, so to have none outstanding is to stand still.
        idle = progress.outstanding == 0 and progress.total is not None
        if answered != self._answered or idle:
            self._answered, self._since = answered, now_s
        elif now_s - self._since > self.queries.settings.sut_timeout_ms / 1000:
            self.ending = Ending.SUT_TIMEOUT


def drive(drives: Sequence[Drive]) -> None:
    """Start all at one instant and wait until each has ended.

    Where one cannot go on, the others stop; if one has ended before, none starts.
    """
    able = not any(one.ending for one in drives)
    virtual = any(isinstance(one.sut, SimulatedSystem) for one in drives)
    workers = _workers(drives) if able and not virtual else []
    try:
        for worker in workers:
            worker.start()
        if able and virtual:
            _simulate(drives)
        elif able:
            with frozen_heap():
                if _ready(drives):
                    with metering(drives):
                        _start(drives)
                        _watch(drives)
    except KeyboardInterrupt:
        for one in drives:
            one.ending = one.ending or Ending.INTERRUPTED
    finally:
        _end_all(drives)
    # A worker that hangs in the model cannot be ended; it is a daemon and holds no lock.
    hangs = any(one.ending is Ending.SUT_TIMEOUT for one in drives)
    _join(workers, 0.2 if hangs else JOIN_TIMEOUT_S)
    for one in drives:
        if one.raised and one.ending is Ending.COMPLETE:  # after its last answer
            one.ending = Ending.SUT_ERROR


def _workers(drives: Sequence[Drive]) -> list[threading.Thread]:
    return [
        threading.Thread(target=_serve, args=(one, n), name=f"sut-{n}", daemon=True)
        for one in drives
        for n in range(one.sut.workers)
    ]


def _serve(one: Drive, worker: int) -> None:
    assert not isinstance(one.sut, SimulatedSystem)
    try:
        one.sut.serve(one.queries, worker)
    except BaseException:
        one.raised = True
        one.queries.abort(traceback.format_exc())
    else:
        if one.queries.has_more:
            one.queries.abort(f"{one.sut.name}: serve returned before the run was over")


def _ready(drives: Sequence[Drive]) -> bool:
    """Wait until every worker waits for a query; whether all came."""
    deadline = time.monotonic() + START_TIMEOUT_S
    for one in drives:
        if not one.queries.ready(one.sut.workers, deadline - time.monotonic()):
            missing = f"{one.sut.name}: no worker took a query within {START_TIMEOUT_S} s"
            one.end(Ending.SUT_ERROR, missing)
            return False
    return True


def _start(drives: Sequence[Drive]) -> None:
    for one in drives:
        one.started_at = _now()
    start_together(one.queries for one in drives)


@contextlib.contextmanager
def metering(drives: Sequence[Drive]) -> Iterator[None]:
    """Measure beside the timed part what its meters measure."""
    for one in drives:
        if one.meter:
            one.meter.start()
    try:
        yield
    finally:
        for one in drives:
            if one.meter:
                one.metered = one.meter.stop()


def _watch(drives: Sequence[Drive]) -> None:
    """Wait until all are complete or one is cut short."""
    running = list(drives)
    while running and not any(one.cut_short for one in drives):
        running[0].queries.wait(WATCH_INTERVAL_S)
        for one in running:
            one.look(time.monotonic())
        running = [one for one in running if one.ending is None]


def _simulate(drives: Sequence[Drive]) -> None:
    """As ``_watch``, on a virtual clock for each."""
    running, until_ns, step_s = list(drives), 0, WATCH_INTERVAL_S
    watched = any(one.watch for one in drives)
    patience_s = min(one.queries.settings.sut_timeout_ms for one in drives) / 4000
    for one in drives:
        assert isinstance(one.sut, SimulatedSystem)
        one.queries.simulate()
    while running and not any(one.cut_short for one in drives):
        until_ns += int(step_s * 1e9)
        if not watched:  # only silence must still be noticed
            step_s = max(min(2 * step_s, patience_s), WATCH_INTERVAL_S)
        for one in running:
            cast(SimulatedSystem, one.sut).advance(one.queries, until_ns)
            one.look(until_ns / 1e9)
        running = [one for one in running if one.ending is None]


def _end_all(drives: Sequence[Drive]) -> None:
    cause = next((one for one in drives if one.cut_short), None)
    for one in drives:
        if one.ending is None:
            why = f"stopped, because {cause.sut.name} ended with {cause.ending}" if cause else None
            one.end(Ending.STOPPED, why)
        one.queries.stop()


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
