"""Which execution plan is the fastest for a problem: timed once, remembered in a file."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.files import atomically
from sut.cupy.convolution import Graph, Plan, Problem
from sut.cupy.rivals import Rivals

CANDIDATES = 6
"""Plans of cuDNN's that are timed, the likeliest first."""
REPEATS = 10


class PlanBook:
    """Names of the best plans by device, cuDNN version and problem; kept in the file ``path``."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._names: dict[str, str] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError):
                self._names = dict(json.loads(path.read_text()))

    def get(self, key: str) -> str | None:
        """The plan chosen before, if any."""
        return self._names.get(key)

    def put(self, key: str, name: str) -> None:
        """Remember a choice."""
        with self._lock:
            self._names[key] = name

    def save(self) -> None:
        """Write the file in one piece; one that cannot be written costs the next run time only."""
        if self._path is None:
            return
        with self._lock, contextlib.suppress(OSError):
            text = json.dumps(self._names, indent=0, sort_keys=True)
            with atomically(self._path) as file:
                file.write(text.encode())


class Tuner:
    """Chooses plans on one stream of the device in use; ``handle``: cuDNN's for that stream."""

    def __init__(
        self, cp: Any, cudnn: Any, handle: Any, stream: Any, book: PlanBook, rivals: Rivals
    ) -> None:
        self._cp, self._cudnn, self._handle, self._stream = cp, cudnn, handle, stream
        self._book, self._rivals = book, rivals

    def choose(self, problem: Problem, like: Problem | None = None) -> Plan:
        """The plan in the book, built, or else the fastest of our own kernels and of those that
        cuDNN's heuristics name first.

        ``like``: a problem that was tuned before, whose plan is as good where it works here.
        Raises RuntimeError if no plan works for the problem.
        """
        own: Sequence[Plan] = self._rivals.plans(problem)
        theirs = cache(lambda: self._graph_plans(problem, bool(own)))
        among = self._rivalry(bool(own))
        for known in (problem, like):
            name = self._book.get(among + known.key) if known else None
            mine = [plan for plan in own if plan.name == name]
            for plan in mine or [x for x in (theirs() if name else ()) if x.name == name]:
                with contextlib.suppress(Exception):
                    plan.build()
                    self._book.put(among + problem.key, plan.name)
                    return plan
        best = self._fastest(problem, [*own, *theirs()[:CANDIDATES]])
        self._book.put(among + problem.key, best.name)
        return best

    def _rivalry(self, ours: bool) -> str:
        """On which device, and among which plans, one was chosen: ``ours``, too?"""
        device = self._cp.cuda.Device().id
        name = self._cp.cuda.runtime.getDeviceProperties(device)["name"].decode()
        kernels = f", kernels {self._rivals.version}" if ours else ""
        return f"{name}, cuDNN {self._cudnn.backend_version()}{kernels}: "

    def _graph_plans(self, problem: Problem, optional: bool) -> Sequence[Plan]:
        try:
            return Graph(self._cudnn, self._handle, problem).plans()
        except Exception as error:  # the frontend raises types of its own
            if optional:
                return ()
            raise RuntimeError(
                f"cuDNN has no graph for the convolution {problem.key}: {error}"
            ) from error

    def _fastest(self, problem: Problem, plans: Sequence[Plan]) -> Plan:
        arrays = _pretended(self._cp, problem)
        pointers = {name: array.data.ptr for name, array in arrays.items()}
        found: list[tuple[float, Plan]] = []
        reason: Exception | None = None
        for plan in plans:
            try:
                plan.build()
                space = self._cp.empty(max(1, plan.workspace), self._cp.uint8)
                run = partial(plan.run, pointers, space.data.ptr, self._handle)
                found.append((_timed(self._cp, self._stream, run), plan))
            except Exception as error:  # a plan that cannot be built here: the next one may
                reason = error
        if not found:
            raise RuntimeError(f"cuDNN runs none of its plans for {problem.key}: {reason}")
        return min(found, key=lambda pair: pair[0])[1]


def _timed(cp: Any, stream: Any, run: Callable[[], None]) -> float:
    run()
    first, last = cp.cuda.Event(), cp.cuda.Event()
    first.record(stream)
    for _ in range(REPEATS):
        run()
    last.record(stream)
    last.synchronize()
    return float(cp.cuda.get_elapsed_time(first, last))


def _pretended(cp: Any, problem: Problem) -> dict[str, Any]:
    """Random arrays to time with: zeros draw less power, and are faster than real numbers."""
    outputs, *kernel = problem.filters
    counts = {
        "x": int(np.prod(problem.image)),
        "w": outputs * problem.image[1] * kernel[0] * kernel[1],
        "residual": int(np.prod(problem.result)),
    }
    arrays = {"y": cp.empty(int(np.prod(problem.result)) * 4, cp.uint8)}
    for name in problem.tensors:
        if name in counts and problem.dtype == "int8":
            arrays[name] = cp.random.randint(0, 100, counts[name]).astype(cp.int8)
        elif name in counts:
            values = cp.random.standard_normal(counts[name], dtype=cp.float32)
            upper = values.view(cp.uint16)[1::2].copy()  # a bfloat16 is a float's upper half
            arrays[name] = upper if problem.dtype == "bf16" else values.astype(cp.float16)
        elif name != "y":
            arrays[name] = cp.full(outputs, 0.01, cp.float32)
    return arrays
