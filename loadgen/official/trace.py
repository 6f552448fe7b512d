"""A trace of the samples for the timeline viewers that read Chrome's format."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from loadgen.log import RunLog
from loadgen.official.text import decimal, joined_rows, microseconds

Integers = NDArray[np.int64]
BLOCK = 16384


def trace_blocks(log: RunLog) -> Iterator[bytes]:
    """The trace, a JSON object: one bar for each answered sample, from its take to its answer.

    ``name`` is the index of the sample, ``tid`` a lane in which bars do not overlap, and
    ``args.w`` how many µs the sample had waited since its query's time.
    """
    yield b'{"displayTimeUnit":"ns","traceEvents":[\n'
    answered = np.flatnonzero(log.done)
    answered = answered[np.argsort(log.taken_ns[answered], kind="stable")]
    begin_ns = log.taken_ns[answered]
    length_ns = np.maximum(log.completed_ns[answered] - begin_ns, 1)
    query = np.searchsorted(log.first_sample, answered, side="right") - 1
    waited_ns = np.maximum(begin_ns - log.scheduled_ns[query], 0)
    lane, index = lanes(begin_ns, begin_ns + length_ns), log.sample_index[answered]
    for first in range(0, len(answered), BLOCK):
        block = slice(first, first + BLOCK)
        last = first + BLOCK >= len(answered)
        rows = joined_rows(
            *(b'{"ph":"X","pid":1,"ts":', *microseconds(begin_ns[block])),
            *(b',"dur":', *microseconds(length_ns[block])),
            *(b',"tid":', decimal(lane[block]), b',"name":"', decimal(index[block])),
            *(b'","args":{"w":', *microseconds(waited_ns[block]), b"}},\n"),
        )
        yield rows[:-2] + b"\n" if last else rows
    yield b"]}\n"


def lanes(begin: Integers, end: Integers) -> Integers:
    """int64: a lane for each interval, with as many lanes as intervals ever overlap.

    ``begin`` ascends, ``end`` lies above it. With K lanes, interval k takes over the lane of the
    interval that ends as number k - K: by the time k begins, that many have ended.
    """
    count = len(begin)
    if count == 0:
        return np.empty(0, np.int64)
    by_end = np.argsort(end, kind="stable")
    ended = np.searchsorted(end[by_end], begin, side="right")
    width = int((np.arange(1, count + 1) - ended).max())
    before = np.arange(count)
    before[width:] = by_end[: count - width]
    # Follow each chain to its first interval, doubling the stride.
    while (before >= width).any():
        before = before[before]
    return before
