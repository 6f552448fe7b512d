"""Systems and libraries by number, as the official functions hand them out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from loadgen.mlperf.samples import QuerySample


@dataclass(frozen=True)
class System:
    """Callbacks of a system under test; a fast one takes ids and indices as two lists.

    ``ask_name``: what tells the name, for a system that only knows it once it is reached.
    """

    issue: Callable[..., None]
    flush: Callable[[], None]
    fast: bool
    name: str = "PySUT"
    ask_name: Callable[[], str] | None = None

    def named(self) -> System:
        """The same system under the name it gives now."""
        return self if self.ask_name is None else replace(self, name=str(self.ask_name()))


@dataclass(frozen=True)
class Samples:
    """A sample library's counts and callbacks."""

    total_count: int
    performance_count: int
    load: Callable[[list[int]], None]
    unload: Callable[[list[int]], None]
    name: str = "PyQSL"


# Not 0: some programs take that for a failure.
_numbers = itertools.count(1)
_made: dict[int, System | Samples] = {}


def _registered(item: System | Samples) -> int:
    number = next(_numbers)
    _made[number] = item
    return number


def _callable(maker: str, **callbacks: Any) -> None:
    for name, callback in callbacks.items():
        if not callable(callback):
            raise TypeError(f"{maker}: {name} must be callable, got {callback!r}")


def ConstructSUT(
    issue_queries: Callable[[list[QuerySample]], None], flush_queries: Callable[[], None]
) -> int:
    """A system under test: ``issue_queries`` gets a list of QuerySample."""
    _callable("ConstructSUT", issue_queries=issue_queries, flush_queries=flush_queries)
    return _registered(System(issue_queries, flush_queries, False))


def ConstructFastSUT(
    issue_queries: Callable[[list[int], list[int]], None], flush_queries: Callable[[], None]
) -> int:
    """A system under test: ``issue_queries`` gets a list of ids and a list of indices."""
    _callable("ConstructFastSUT", issue_queries=issue_queries, flush_queries=flush_queries)
    return _registered(System(issue_queries, flush_queries, True))


def ConstructQSL(
    total_sample_count: int,
    performance_sample_count: int,
    load_samples: Callable[[list[int]], None],
    unload_samples: Callable[[list[int]], None],
) -> int:
    """A sample library: both callbacks get a list of sample indices."""
    _callable("ConstructQSL", load_samples=load_samples, unload_samples=unload_samples)
    counts = (int(total_sample_count), int(performance_sample_count))
    if min(counts) < 1:
        raise ValueError(f"ConstructQSL: counts of {counts}, both must be at least 1")
    return _registered(Samples(*counts, load_samples, unload_samples))


def system_of(number: int) -> System:
    """Raises ValueError where ``number`` is no system's."""
    found = _made.get(number)
    if not isinstance(found, System):
        raise ValueError(f"{number} is no system under test, or it was destroyed")
    return found


def samples_of(number: int) -> Samples:
    """Raises ValueError where ``number`` is no sample library's."""
    found = _made.get(number)
    if not isinstance(found, Samples):
        raise ValueError(f"{number} is no sample library, or it was destroyed")
    return found


def DestroySUT(sut: int) -> None:
    """Forget a system; raises ValueError where there is none of that number."""
    system_of(sut)
    del _made[sut]


def DestroyFastSUT(sut: int) -> None:
    """Forget a system; raises ValueError where there is none of that number."""
    DestroySUT(sut)


def DestroyQSL(qsl: int) -> None:
    """Forget a library; raises ValueError where there is none of that number."""
    samples_of(qsl)
    del _made[qsl]


def ConstructQDL(
    issue_queries: Callable[[list[QuerySample]], None],
    flush_queries: Callable[[], None],
    name: Callable[[], str],
) -> int:
    """A system reached over a network; each test asks ``name`` for what reports call it."""
    _callable("ConstructQDL", issue=issue_queries, flush=flush_queries, name=name)
    return _registered(System(issue_queries, flush_queries, False, ask_name=name))


def DestroyQDL(qdl: int) -> None:
    """Forget a system; raises ValueError where there is none of that number."""
    DestroySUT(qdl)
