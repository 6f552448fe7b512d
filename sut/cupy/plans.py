"""Which execution plan is the fastest for a problem: timed once, remembered in a file."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from loadgen.files import atomically
from sut.cupy.convolution import CANDIDATES, Plans, Problem

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


class Chosen:
    """The plan that a problem is solved with; ``workspace``: bytes that it needs."""

    def __init__(self, plans: Plans, index: int, workspace: int) -> None:
        self.workspace = workspace
        self._plans, self._index = plans, index

    def run(self, pointers: Mapping[str, int], workspace: int, handle: Any) -> None:
        """Enqueue it on the handle's stream."""
        self._plans.run(pointers, workspace, self._index, handle)


def choose(
    cp: Any,
    cudnn: Any,
    handle: Any,
    stream: Any,
    problem: Problem,
    book: PlanBook,
    like: Problem | None = None,
) -> Chosen:
    """The plan in ``book``, or else the fastest of those that cuDNN's heuristics name first.

    ``like``: a problem that was tuned before, whose plan is as good where it works here.
    Raises RuntimeError if cuDNN has no plan that works for the problem.
    """
    try:
        plans = Plans(cudnn, handle, problem)
    except Exception as error:  # the frontend raises types of its own
        raise RuntimeError(f"cuDNN has no graph for the convolution {problem.key}: {error}") from (
            error
        )
    name = cp.cuda.runtime.getDeviceProperties(cp.cuda.Device().id)["name"].decode()
    card = f"{name}, cuDNN {cudnn.backend_version()}: "
    for known in (problem, like):
        name_of = book.get(card + known.key) if known else None
        for index in plans.named(name_of):
            with contextlib.suppress(Exception):
                chosen = Chosen(plans, index, plans.build(index))
                book.put(card + problem.key, plans.name(index))
                return chosen
    best = _fastest(cp, handle, stream, plans, _pretended(cp, problem, plans))
    book.put(card + problem.key, plans.name(best._index))
    return best


def _fastest(
    cp: Any,
    handle: Any,
    stream: Any,
    plans: Plans,
    arrays: Mapping[str, Any],
) -> Chosen:
    pointers = {name: array.data.ptr for name, array in arrays.items()}
    found: list[tuple[float, Chosen]] = []
    reason: Exception | None = None
    for index in range(min(len(plans), CANDIDATES)):
        try:
            plan = Chosen(plans, index, plans.build(index))
            space = cp.empty(max(1, plan.workspace), cp.uint8)
            time_ms = _timed(cp, stream, partial(plan.run, pointers, space.data.ptr, handle))
            found.append((time_ms, plan))
        except Exception as error:  # a plan that cannot be built here: the next one may
            reason = error
    if not found:
        raise RuntimeError(f"cuDNN runs none of its plans for {plans.problem.key}: {reason}")
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


def _pretended(cp: Any, problem: Problem, plans: Plans) -> dict[str, Any]:
    """Random arrays to time with: zeros draw less power, and are faster than real numbers."""
    outputs, *kernel = problem.filters
    counts = {
        "x": int(np.prod(problem.image)),
        "w": outputs * problem.image[1] * kernel[0] * kernel[1],
        "residual": int(np.prod(problem.result)),
    }
    arrays = {"y": cp.empty(int(np.prod(problem.result)) * 4, cp.uint8)}
    for name in plans.names:
        if name in counts and problem.dtype == "int8":
            arrays[name] = cp.random.randint(0, 100, counts[name]).astype(cp.int8)
        elif name in counts:
            values = cp.random.standard_normal(counts[name], dtype=cp.float32)
            upper = values.view(cp.uint16)[1::2].copy()  # a bfloat16 is a float's upper half
            arrays[name] = upper if problem.dtype == "bf16" else values.astype(cp.float16)
        elif name != "y":
            arrays[name] = cp.full(outputs, 0.01, cp.float32)
    return arrays
