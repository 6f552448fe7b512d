"""How a run went over time, from its arrays: latency, rate of answers and batch sizes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engine.report.plots import BOUND, FAILED, PASSED, canvas, plain_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# More points than this are drawn as percentiles of so many stretches of time.
MOST_POINTS = 1500
STRETCHES = 120

Array = NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Times in ns after the start. ``scheduled_ns``, ``answered_ns``: [queries]; -1 where a query
    has no answer. ``completed_ns``, ``taken_ns``: [samples]."""

    scheduled_ns: Array
    answered_ns: Array
    completed_ns: Array
    taken_ns: Array

    @property
    def latency_ms(self) -> NDArray[np.float64]:
        """float64[queries]: from the scheduled time, NaN for a query without an answer."""
        latency = (self.answered_ns - self.scheduled_ns) / 1e6
        return np.where(self.answered_ns >= 0, latency, np.nan)

    @property
    def batches(self) -> tuple[Array, Array]:
        """When batches were taken, in ns, and their sizes: [batches]."""
        return np.unique(self.taken_ns[self.taken_ns >= 0], return_counts=True)


def read_timeline(path: Path) -> Timeline | None:
    """The timeline in a run's arrays, None where there are none that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as log:
            first, completed = log["first_sample"], log["completed_ns"]
            scheduled, taken = log["scheduled_ns"], log["taken_ns"]
        if len(first) == 0 or len(completed) == 0:
            return None
        answered = np.maximum.reduceat(completed, first)
        complete = np.minimum.reduceat(completed, first) >= 0
    except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile):
        return None
    return Timeline(scheduled, np.where(complete, answered, -1), completed, taken)


def latency_timeline_plot(timeline: Timeline, record: dict[str, Any]) -> Figure | None:
    """Latency over the scheduled time; of a single query, the rate of answers instead."""
    if len(timeline.scheduled_ns) < 2:
        return _rate_plot(timeline)
    known = ~np.isnan(timeline.latency_ms)
    at_s, latency_ms = timeline.scheduled_ns[known] / 1e9, timeline.latency_ms[known]
    if len(at_s) < 2:
        return None
    figure, axes = canvas()
    if len(at_s) <= MOST_POINTS:
        axes.plot(at_s, latency_ms, ".", markersize=3, color=PASSED, alpha=0.6, label="one query")
    else:
        for percent, colour in ((50, PASSED), (90, "#c08a1e"), (99, FAILED), (100, BOUND)):
            name = "max" if percent == 100 else f"p{percent}"
            axes.plot(*_percentile(at_s, latency_ms, percent), color=colour, lw=1, label=name)
    bound_ms = (record["performance"]["settings"] or {}).get("bound_ms")
    if bound_ms is not None:
        axes.axhline(bound_ms, color=BOUND, linestyle="--", label=f"bound {bound_ms:g} ms")
    axes.set_yscale("log")
    plain_numbers(axes.yaxis)
    axes.set_xlabel("scheduled time (s after the start)")
    axes.set_ylabel("latency (ms)")
    _legend_above(axes)
    return figure


def _rate_plot(timeline: Timeline) -> Figure | None:
    ended_s = np.sort(timeline.completed_ns[timeline.completed_ns >= 0]) / 1e9
    if len(ended_s) < 4:
        return None
    counts, edges = np.histogram(ended_s, bins=min(STRETCHES, max(4, len(ended_s) // 20)))
    figure, axes = canvas()
    axes.stairs(counts / np.diff(edges), edges, color=PASSED)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("time after the start (s)")
    axes.set_ylabel("answers (samples/s)")
    return figure


def batch_plot(timeline: Timeline) -> Figure | None:
    """Batch sizes over the time at which they were taken; None where all have one sample."""
    from matplotlib.ticker import MaxNLocator

    taken_ns, sizes = timeline.batches
    if len(sizes) == 0 or sizes.max() == 1:
        return None
    figure, axes = canvas()
    at_s = taken_ns / 1e9
    if len(at_s) <= MOST_POINTS:
        axes.plot(at_s, sizes, ".", markersize=3, color=PASSED, alpha=0.6, label="one batch")
    else:
        for percent, colour in ((50, PASSED), (100, BOUND)):
            name = "max" if percent == 100 else "median"
            axes.plot(*_percentile(at_s, sizes, percent), color=colour, lw=1, label=name)
    axes.set_ylim(0, 1.08 * float(sizes.max()))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("time at which the batch was taken (s)")
    axes.set_ylabel("samples in a batch")
    _legend_above(axes)
    return figure


def _legend_above(axes: Axes) -> None:
    """A legend that hides no point: there may be one anywhere."""
    axes.legend(frameon=False, ncols=5, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1))


def _percentile(
    at_s: NDArray[np.float64], values: NDArray[Any], percent: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A percentile of the values in each stretch of time that has any, and the stretch's middle."""
    edges = np.linspace(at_s.min(), at_s.max(), STRETCHES + 1)
    place = np.clip(np.searchsorted(edges, at_s, side="right") - 1, 0, STRETCHES - 1)
    filled = np.unique(place)
    found = [float(np.percentile(values[place == stretch], percent)) for stretch in filled]
    return (edges[:-1] + edges[1:])[filled] / 2, np.array(found)
