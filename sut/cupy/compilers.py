"""Plans of cuDNN's, compiled by several processes: in one, the frontend's calls take turns."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

import psutil

from sut.cupy.convolution import Graph, Problem
from sut.cupy.needs import modules

CANDIDATES = 6
"""Plans of cuDNN's that are timed, the likeliest first."""
MOST = 8
"""Processes: each takes seconds to start, and compiles anew what another has for a like problem."""
CONTEXT_BYTES = 1 << 30
"""Of the device's memory, that are to be free for each process: its context takes half of that."""

Wanted = tuple[Problem, str | None]
"""A problem and the name of its plan, or None for its ``CANDIDATES``."""
Compiled = dict[tuple[Problem, str], bytes]
"""By problem and the plan's name."""


class Compilers:
    """Processes that compile for the device in use; started when first needed, until ``close``."""

    def __init__(self, cp: Any) -> None:
        self._device = cp.cuda.Device()
        self._pool: ProcessPoolExecutor | None = None

    def compile(self, wanted: Sequence[Wanted]) -> Compiled:
        """What cuDNN compiled. For a plan that it does not offer, the ``CANDIDATES`` in its place.

        Without those that it cannot compile or write, and empty where one process would do it all,
        or none can be started: a device may be kept for one process.
        """
        found: Compiled = {}
        if self._pool is None and (count := min(self._most(), len(wanted))) > 1:
            own = (self._device.id,)
            self._pool = ProcessPoolExecutor(count, get_context("spawn"), _start, own)
        if self._pool is not None:
            with contextlib.suppress(BrokenProcessPool):
                futures = [(x[0], self._pool.submit(_compile, *x)) for x in wanted]
                for problem, future in futures:
                    found |= {(problem, name): plan for name, plan in future.result().items()}
        return found

    def _most(self) -> int:
        free = int(self._device.mem_info[0]) // CONTEXT_BYTES
        return min(MOST, len(psutil.Process().cpu_affinity()), free)

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


_cudnn: Any = None
_handle: Any = None


def _start(device: int) -> None:
    """In a process that compiles: what it compiles with. The one that waits is who is stopped."""
    global _cudnn, _handle
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_outlive_none, daemon=True).start()
    with contextlib.suppress(Exception):  # without them nothing is compiled
        cp, _cudnn = modules([device])
        cp.cuda.Device(device).use()
        _handle = _cudnn.create_handle()


def _outlive_none() -> None:
    """Waiting for work does not end with whoever would give it, if it was killed."""
    waits = parent_process()
    assert waits is not None
    waits.join()
    os._exit(1)


def _compile(problem: Problem, name: str | None) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    with contextlib.suppress(Exception):  # whoever waits finds out by itself
        plans = Graph(_cudnn, _handle, problem).plans()
        for plan in [x for x in plans if x.name == name] or plans[:CANDIDATES]:
            with contextlib.suppress(Exception):
                found[plan.name] = plan.compiled()
    return found
