"""What a run recorded: arrays, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from loadgen._tape import OPEN, STATUS, UNTAKEN
from loadgen.settings import Settings
from loadgen.takes import Takes


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
    ``takes``, ``answers``: as they were recorded; read them as ``taken_ns``, ``batch_sizes`` and
    ``lateness_ns``, and as ``completed_ns`` and ``status``.
    ``sample_index``: [samples], in issue order.
    ``responses``: one for each sample in accuracy mode, else None.
    ``first_token_ns``, ``token_count``, ``first_tokens``: for each sample, when its first token
    came, how many there were (0: not told) and, as ``responses``, the first; None without tokens.
    ``repeated``, ``unknown``, ``after_end``: answers that no open sample was waiting for.
    ``warmup``: the record of the warm-up before it, None without; no figure counts it.
    ``metered``: what a ``loadgen.meter.Meter`` measured beside the timed part, None without.
    """

    settings: Settings
    ending: Ending
    started_at: str
    scheduled_ns: NDArray[np.int64]
    first_sample: NDArray[np.int64]
    takes: Takes
    answers: NDArray[np.int64]
    sample_index: NDArray[np.int32]
    responses: list[NDArray[np.generic] | None] | None
    repeated: int
    unknown: int
    after_end: int
    error: str | None
    first_token_ns: NDArray[np.int64] | None = None
    token_count: NDArray[np.int32] | None = None
    first_tokens: list[NDArray[np.generic] | None] | None = None
    warmup: RunLog | None = None
    metered: object | None = None

    @cached_property
    def done(self) -> NDArray[np.bool_]:
        """bool[samples]: answered, and not by a failure."""
        return self.answers >= 0

    @property
    def failed(self) -> NDArray[np.int64]:
        """Ids of the samples that the system under test gave up."""
        return np.flatnonzero((self.answers < 0) & (self.answers > OPEN))

    @property
    def lost(self) -> NDArray[np.int64]:
        """Ids of the samples that were taken and never answered."""
        return np.flatnonzero(self.answers == OPEN)

    @cached_property
    def taken_ns(self) -> NDArray[np.int64]:
        """int64[samples]: when each sample was handed out."""
        return np.repeat(self.takes.at_ns, self.takes.sizes)

    @cached_property
    def completed_ns(self) -> NDArray[np.int64]:
        """int64[samples]: when each sample was answered or given up, -1 if it was not."""
        if self.done.all():
            return self.answers
        ended = np.where(self.answers < 0, ~self.answers, self.answers)
        return np.where(self.answers <= OPEN, -1, ended)

    @property
    def status(self) -> NDArray[np.uint8]:
        """uint8[samples]: what became of each sample, by the numbers of ``STATUS``."""
        status = np.where(self.done, STATUS["done"], STATUS["failed"]).astype(np.uint8)
        status[self.answers == OPEN] = STATUS["taken"]
        status[self.answers == UNTAKEN] = STATUS["pending"]
        return status

    @cached_property
    def latency_ns(self) -> NDArray[np.int64]:
        """int64: latency of each query whose samples were all answered, in issue order.

        From the scheduled time to the last sample's completion.
        """
        answered, finished_ns = self.done, self.completed_ns
        if len(self.scheduled_ns) != len(answered):  # several samples to a query
            answered = np.minimum.reduceat(answered, self.first_sample)
            finished_ns = np.maximum.reduceat(finished_ns, self.first_sample)
        latency_ns = finished_ns - self.scheduled_ns
        return latency_ns if answered.all() else latency_ns[answered]

    @cached_property
    def sample_latency_ns(self) -> NDArray[np.int64]:
        """int64: latency of each answered sample, from its query's time, in issue order."""
        if len(self.scheduled_ns) == len(self.answers):
            return self.latency_ns
        done = np.flatnonzero(self.done)
        return self.completed_ns[done] - self.due_ns(done)

    @property
    def batch_sizes(self) -> NDArray[np.int64]:
        """int64: how many samples each take claimed, in issue order."""
        return self.takes.sizes

    @cached_property
    def lateness_ns(self) -> NDArray[np.int64]:
        """int64: how late each take that had to wait was woken, in issue order."""
        late_ns = self.takes.late_ns(self.due_ns(self.takes.first))
        return late_ns[late_ns >= 0]

    def due_ns(self, samples: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64: the time of the query that each of ``samples``, places in issue order, is of."""
        if len(self.scheduled_ns) == len(self.answers):
            return self.scheduled_ns[samples]
        return self.scheduled_ns[np.searchsorted(self.first_sample, samples, side="right") - 1]


def joined(logs: list[RunLog]) -> RunLog:
    """One log of several runs that followed one another (the sets of an accuracy run)."""
    if len(logs) == 1:
        return logs[0]
    ends = np.cumsum([int(log.completed_ns.max(initial=0)) for log in logs])
    counts = np.cumsum([len(log.sample_index) for log in logs])
    shifts = [0, *ends[:-1].tolist()]
    places = [0, *counts[:-1].tolist()]
    last = logs[-1]

    def moved(arrays: list[NDArray[np.int64]], by: list[int]) -> NDArray[np.int64]:
        return np.concatenate([array + step for array, step in zip(arrays, by, strict=True)])

    def later(answers: NDArray[np.int64], by: int) -> NDArray[np.int64]:
        # The complement of a later time lies so much lower.
        return answers + np.where(answers >= 0, by, np.where(answers > OPEN, -by, 0))

    takes = Takes.of(
        int(counts[-1]),
        moved([log.takes.first for log in logs], places),
        moved([log.takes.at_ns for log in logs], shifts),
        np.concatenate([log.takes.late_ns(log.due_ns(log.takes.first)) for log in logs]),
    )
    answers = [later(log.answers, by) for log, by in zip(logs, shifts, strict=True)]
    firsts = [log.first_token_ns for log in logs if log.first_token_ns is not None]
    first_token_ns = [np.where(at < 0, at, at + by) for at, by in zip(firsts, shifts, strict=False)]
    token_count = [log.token_count for log in logs if log.token_count is not None]
    return RunLog(
        settings=last.settings,
        ending=last.ending,
        started_at=logs[0].started_at,
        scheduled_ns=moved([log.scheduled_ns for log in logs], shifts),
        first_sample=moved([log.first_sample for log in logs], places),
        takes=takes,
        answers=np.concatenate(answers),
        sample_index=np.concatenate([log.sample_index for log in logs]),
        responses=[answer for log in logs for answer in log.responses or []] or None,
        repeated=sum(log.repeated for log in logs),
        unknown=sum(log.unknown for log in logs),
        after_end=sum(log.after_end for log in logs),
        error=next((log.error for log in logs if log.error), None),
        first_token_ns=np.concatenate(first_token_ns) if first_token_ns else None,
        token_count=np.concatenate(token_count) if token_count else None,
        first_tokens=[token for log in logs for token in log.first_tokens or []] or None,
    )
