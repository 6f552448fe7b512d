"""Plans of cuDNN's, compiled by several processes: in one, the frontend's calls take turns."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import psutil

from sut.cupy.convolution import Graph, Problem
from sut.cupy.needs import modules

CANDIDATES = 6
"""Plans of cuDNN's that are timed, the likeliest first."""
MOST = 16
CONTEXT_BYTES = 1 << 30
"""Of the device's memory, that are to be free for each process: its context takes half of that."""

Wanted = tuple[Problem, str | None]
"""A problem and the name of its plan, or None for its ``CANDIDATES``."""


def compiled(
    wanted: Sequence[Wanted], device: int, free_bytes: int
) -> dict[tuple[Problem, str], bytes]:
    """What cuDNN compiled for ``device``, by problem and plan.

    Without those that it cannot compile or write, and empty where one process would do it all, or
    none can be started: a device may be kept for one process.
    """
    cores = len(psutil.Process().cpu_affinity())
    count = min(MOST, cores, len(wanted), free_bytes // CONTEXT_BYTES)
    if count < 2:
        return {}
    found: dict[tuple[Problem, str], bytes] = {}
    pool = ProcessPoolExecutor(count, get_context("spawn"), _start, (device,))
    try:
        futures = [(problem, pool.submit(_compile, problem, name)) for problem, name in wanted]
        for problem, future in futures:
            with contextlib.suppress(Exception):
                found |= {(problem, name): plan for name, plan in future.result().items()}
    finally:
        pool.shutdown(cancel_futures=True)
    return found


_cudnn: Any = None
_handle: Any = None


def _start(device: int) -> None:
    """In a process that compiles: what it compiles with. The one that waits is who is stopped."""
    global _cudnn, _handle
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(Exception):  # told by the first problem
        cp, _cudnn = modules([device])
        cp.cuda.Device(device).use()
        _handle = _cudnn.create_handle()


def _compile(problem: Problem, name: str | None) -> dict[str, bytes]:
    plans = Graph(_cudnn, _handle, problem).plans()
    found = {}
    for plan in plans[:CANDIDATES] if name is None else plans:
        if name in (None, plan.name):
            with contextlib.suppress(Exception):
                found[plan.name] = plan.compiled()
    return found
