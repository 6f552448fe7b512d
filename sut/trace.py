"""How fast a system was from moment to moment, while its batches were timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A batch that takes so many times its size's median is a slow one.
SLOW = 1.5


@dataclass(frozen=True)
class Pace:
    """Clocks of a system that is slower at times, cyclic, one for each of k batch sizes.

    Clock i is ``at_ns`` (int64) and ``done`` (float64) from ``first[i]`` to ``first[i + 1]``: so
    many batches are done at that time, linear in between. Each begins with 0 and 0 and ends at
    ``period_ns``. A batch of n samples goes by clock ``clock[n - 1]`` (int32) and is over once
    ``work[n - 1]`` (float64) more are done there. ``offsets_ns``: int64[workers], where in its
    period a worker begins.
    """

    first: NDArray[np.int64]
    at_ns: NDArray[np.int64]
    done: NDArray[np.float64]
    clock: NDArray[np.int32]
    work: NDArray[np.float64]
    offsets_ns: NDArray[np.int64]
    period_ns: int


@dataclass(frozen=True)
class Trace:
    """The times of batches in ms as they followed one another, measured in rounds.

    ``times_ms[size][lane * rounds + round]``: of the batches of a size by one of ``lanes`` workers,
    all busy. A round took ``round_ms`` and went through all sizes, so that what a size met in a
    round stands for all of it: a moment in which the machine was slow is slow for any batch.
    Raises ValueError for what is no such trace.
    """

    times_ms: tuple[tuple[tuple[float, ...], ...], ...]
    lanes: int
    round_ms: float

    def __post_init__(self) -> None:
        counts = {len(stretches) for stretches in self.times_ms}
        if self.lanes < 1 or len(counts) != 1 or min(counts) < 1 or min(counts) % self.lanes:
            raise ValueError("a trace needs as many rounds of each lane for each of its sizes")
        times = [np.array(stretch) for size in self.times_ms for stretch in size]
        if not all(t.size and np.isfinite(t).all() and t.min() > 0 for t in times):
            raise ValueError("a trace's times must be above 0")
        if not 0 < self.round_ms < np.inf:
            raise ValueError(f"round_ms {self.round_ms}: it must be above 0")

    @property
    def rounds(self) -> int:
        """How often each size was measured."""
        return len(self.times_ms[0]) // self.lanes

    def slow_share(self) -> float:
        """The share of the time that went into slow batches."""
        slow = total = 0.0
        for stretches in self.times_ms:
            times = np.concatenate([np.array(stretch) for stretch in stretches])
            slow += float(times[times > SLOW * np.median(times)].sum())
            total += float(times.sum())
        return slow / total

    def resampled(self, rng: np.random.Generator) -> Trace:
        """A trace of as many rounds, drawn from these with replacement."""
        drawn = rng.integers(0, self.rounds, self.rounds)
        places = (np.arange(self.lanes)[:, None] * self.rounds + drawn).ravel()
        return replace(
            self, times_ms=tuple(tuple(size[place] for place in places) for size in self.times_ms)
        )

    def pace(
        self,
        clock: NDArray[np.int32],
        work: NDArray[np.float64],
        workers: int,
        rng: np.random.Generator,
    ) -> Pace:
        """The clocks of ``workers``; each ``lanes`` of them are a system of their own, and begin
        at a moment that ``rng`` draws. ``clock``, ``work``: as in ``Pace``."""
        clocks = [self._clock(stretches) for stretches in self.times_ms]
        lane_ns = round(self.round_ms * 1e6) * self.rounds
        period_ns = lane_ns * self.lanes
        systems = -(-workers // self.lanes)
        begin = rng.integers(0, period_ns, systems)[:, None]
        offsets = (begin + np.arange(self.lanes) * lane_ns).ravel()[:workers] % period_ns
        return Pace(
            first=np.cumsum([0, *(len(at) for at, _ in clocks)]),
            at_ns=np.concatenate([at for at, _ in clocks]),
            done=np.concatenate([done for _, done in clocks]),
            clock=clock,
            work=work,
            offsets_ns=offsets,
            period_ns=period_ns,
        )

    def _clock(
        self, stretches: tuple[tuple[float, ...], ...]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """int64[n], float64[n]: how many batches of a size were done when; all lanes in a row."""
        round_ns = round(self.round_ms * 1e6)
        at, done = [np.zeros(1)], [np.zeros(1)]
        for number, stretch in enumerate(stretches):
            ends, counts = _repeated(np.array(stretch) * 1e6, round_ns)
            at.append(number * float(round_ns) + ends)
            done.append(done[-1][-1] + counts)
        return np.concatenate(at).astype(np.int64), np.concatenate(done)

    @classmethod
    def read(cls, data: dict[str, Any]) -> Trace:
        """From what ``dataclasses.asdict`` and JSON made of it."""
        times = tuple(tuple(tuple(map(float, s)) for s in size) for size in data["times_ms"])
        return cls(times, int(data["lanes"]), float(data["round_ms"]))


def _repeated(times_ns: NDArray[np.float64], until_ns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """When batches end, one after the other and again from the first, the last cut off; how many
    are done by then."""
    ends = np.cumsum(np.tile(times_ns, int(until_ns // times_ns.sum()) + 1))
    counts = np.arange(1.0, len(ends) + 1)
    inside = ends < until_ns
    last = np.interp(until_ns, [0, *ends], [0, *counts])
    return np.append(ends[inside], until_ns), np.append(counts[inside], last)


def lanes(begins: NDArray[np.int64], ends: NDArray[np.int64], count: int) -> Iterator[NDArray[Any]]:
    """For each of ``count`` workers, the places of its batches, from when they began and ended."""
    free = np.zeros(count, np.int64)
    worker = np.empty(len(begins), np.int64)
    for place in np.argsort(begins, kind="stable"):
        worker[place] = free.argmin()
        free[worker[place]] = ends[place]
    return (np.flatnonzero(worker == one) for one in range(count))
