"""What a run recorded: arrays, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from loadgen._tape import STATUS
from loadgen.settings import Settings


class Ending(StrEnum):
    """Why a run was over."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    SUT_ERROR = "sut_error"
    SUT_TIMEOUT = "sut_timeout"


@dataclass(frozen=True)
class RunLog:
    """The record of one run; times are int64 nanoseconds after its start, -1 for none.

    ``scheduled_ns``, ``first_sample``: [queries], a query's time and its first sample's place.
    ``taken_ns``, ``completed_ns``, ``status``, ``sample_index``: [samples], in issue order.
    ``lateness_ns``: int32[w], how late each take that had to wait was woken.
    ``responses``: one for each sample in accuracy mode, else None.
    ``repeated``, ``unknown``, ``after_end``: answers that no open sample was waiting for.
    ``warmup``: the record of the warm-up before it, None without; no figure counts it.
    """

    settings: Settings
    ending: Ending
    started_at: str
    scheduled_ns: NDArray[np.int64]
    first_sample: NDArray[np.int64]
    taken_ns: NDArray[np.int64]
    completed_ns: NDArray[np.int64]
    status: NDArray[np.uint8]
    sample_index: NDArray[np.int32]
    lateness_ns: NDArray[np.int32]
    responses: list[NDArray[np.generic] | None] | None
    repeated: int
    unknown: int
    after_end: int
    error: str | None
    warmup: RunLog | None = None

    @property
    def done(self) -> NDArray[np.bool_]:
        """bool[samples]: answered, and not by a failure."""
        return self.status == STATUS["done"]

    @property
    def failed(self) -> NDArray[np.int64]:
        """Ids of the samples that the system under test gave up."""
        return np.flatnonzero(self.status == STATUS["failed"])

    @property
    def lost(self) -> NDArray[np.int64]:
        """Ids of the samples that were taken and never answered."""
        return np.flatnonzero(self.status == STATUS["taken"])

    @cached_property
    def latency_ns(self) -> NDArray[np.int64]:
        """int64: latency of each query whose samples were all answered, in issue order.

        From the scheduled time to the last sample's completion.
        """
        answered, finished_ns = self.done, self.completed_ns
        if len(self.scheduled_ns) != len(self.status):  # several samples to a query
            answered = np.minimum.reduceat(answered, self.first_sample)
            finished_ns = np.maximum.reduceat(finished_ns, self.first_sample)
        latency_ns = finished_ns - self.scheduled_ns
        return latency_ns if answered.all() else latency_ns[answered]

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """int64: how many samples each take claimed, in issue order."""
        taken = self.taken_ns[self.taken_ns >= 0]
        edges = np.flatnonzero(np.diff(taken, prepend=-1, append=np.iinfo(np.int64).max))
        return np.diff(edges)


def joined(logs: list[RunLog]) -> RunLog:
    """One log of several runs that followed one another (the sets of an accuracy run)."""
    if len(logs) == 1:
        return logs[0]
    ends = np.cumsum([int(log.completed_ns.max(initial=0)) for log in logs])
    counts = np.cumsum([len(log.sample_index) for log in logs])
    shifts = [0, *ends[:-1].tolist()]
    places = [0, *counts[:-1].tolist()]
    last = logs[-1]

    def shifted(name: str) -> NDArray[np.int64]:
        arrays = (getattr(log, name) for log in logs)
        moved = [np.where(a >= 0, a + by, a) for a, by in zip(arrays, shifts, strict=True)]
        return np.concatenate(moved)

    def together(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(log, name) for log in logs])

    first = [log.first_sample + place for log, place in zip(logs, places, strict=True)]
    return RunLog(
        settings=last.settings,
        ending=last.ending,
        started_at=logs[0].started_at,
        scheduled_ns=shifted("scheduled_ns"),
        first_sample=np.concatenate(first),
        taken_ns=shifted("taken_ns"),
        completed_ns=shifted("completed_ns"),
        status=together("status"),  # type: ignore[arg-type]
        sample_index=together("sample_index"),  # type: ignore[arg-type]
        lateness_ns=together("lateness_ns"),  # type: ignore[arg-type]
        responses=[answer for log in logs for answer in log.responses or []] or None,
        repeated=sum(log.repeated for log in logs),
        unknown=sum(log.unknown for log in logs),
        after_end=sum(log.after_end for log in logs),
        error=next((log.error for log in logs if log.error), None),
    )
