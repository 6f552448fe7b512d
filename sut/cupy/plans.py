"""Which execution plan is the fastest for a problem: timed once, remembered in a file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from sut.cupy.book import PlanBook
from sut.cupy.compilers import Compiled, Compilers, Wanted
from sut.cupy.convolution import CANDIDATES, VERSION, CompiledPlan, Graph, Plan, Problem
from sut.cupy.rivals import Rivals

REPEATS = 10


class Tuner:
    """Chooses plans on one stream of the device in use; ``handle``: cuDNN's for that stream."""

    def __init__(
        self, cp: Any, cudnn: Any, handle: Any, stream: Any, book: PlanBook, rivals: Rivals
    ) -> None:
        self._cp, self._cudnn, self._handle, self._stream = cp, cudnn, handle, stream
        self._book, self._rivals = book, rivals
        runtime = cp.cuda.runtime
        name = runtime.getDeviceProperties(cp.cuda.Device().id)["name"].decode()
        self._where = f"{name}, cuDNN {cudnn.backend_version()}"
        self._made = f"driver {runtime.driverGetVersion()}, frontend {cudnn.__version__}"
        self._compiled: Compiled = {}

    def lacks(self, problems: Iterable[tuple[Problem, Problem | None]]) -> list[Wanted]:
        """What is not in the book of what ``choose`` will need for problems and their likes."""
        return [x for pair in dict.fromkeys(problems) for x in self._lacking(*pair)]

    def _lacking(self, problem: Problem, like: Problem | None) -> Iterator[Wanted]:
        own = self._rivals.plans(problem)
        name = next(self._names(self._rivalry(bool(own)), problem, like), None)
        if name is None or not (
            name in (plan.name for plan in own)
            or self._book.holds(self._compiled_key(problem, name))
        ):
            yield problem, name

    def compile(self, wanted: Sequence[Wanted], compilers: Compilers) -> None:
        """Have it compiled beforehand: what is missing after that, ``choose`` compiles."""
        self._compiled = compilers.compile(wanted)

    def choose(self, problem: Problem, like: Problem | None = None) -> Plan:
        """The plan in the book, built, or else the fastest of our own kernels and of those that
        cuDNN's heuristics name first.

        ``like``: a problem that was tuned before, whose plan is as good where it works here.
        Raises RuntimeError if no plan works for the problem.
        """
        own: Sequence[Plan] = self._rivals.plans(problem)
        theirs = cache(lambda: self._graph_plans(problem, bool(own)))
        among = self._rivalry(bool(own))
        for name in self._names(among, problem, like):
            for plan in self._called(name, problem, own, theirs):
                with contextlib.suppress(Exception):
                    plan.build()
                    return self._chosen(among, problem, plan)
        rivals = [self._delivered(problem, plan.name) or plan for plan in theirs()[:CANDIDATES]]
        return self._chosen(among, problem, self._fastest(problem, [*own, *rivals]))

    def _names(self, among: str, problem: Problem, like: Problem | None) -> Iterator[str]:
        """Of the plans that were chosen before."""
        for known in (problem, like):
            if known and (name := self._book.get(among + known.key)):
                yield name

    def _called(
        self,
        name: str,
        problem: Problem,
        own: Sequence[Plan],
        theirs: Callable[[], Sequence[Plan]],
    ) -> Iterator[Plan]:
        """The plan of that name: ours, or cuDNN's as it was compiled before, or to be compiled."""
        yield from (plan for plan in own if plan.name == name)
        if kept := self._book.compiled(self._compiled_key(problem, name)):
            yield CompiledPlan(self._cudnn, self._handle, name, kept, kept=True)
        if delivered := self._delivered(problem, name):
            yield delivered
        yield from (plan for plan in theirs() if plan.name == name)

    def _delivered(self, problem: Problem, name: str) -> Plan | None:
        """The plan of that name, built, if another process has compiled it."""
        if made := self._compiled.get((problem, name)):
            with contextlib.suppress(Exception):
                plan = CompiledPlan(self._cudnn, self._handle, name, made)
                plan.build()
                return plan
        return None

    def _chosen(self, among: str, problem: Problem, plan: Plan) -> Plan:
        self._book.put(among + problem.key, plan.name)
        with contextlib.suppress(Exception):  # not every engine of cuDNN's can be written
            self._book.keep(self._compiled_key(problem, plan.name), plan.compiled)
        return plan

    def _compiled_key(self, problem: Problem, name: str) -> str:
        return f"{self._where}, {self._made}, graph {VERSION}: {name} {problem.key}"

    def _rivalry(self, ours: bool) -> str:
        """On which device, and among which plans, one was chosen: ``ours``, too?"""
        kernels = f", kernels {self._rivals.version}" if ours else ""
        return f"{self._where}{kernels}: "

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
