"""Fakes that every package's tests share: a library of numbers and systems that misbehave."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from loadgen import Batch, LoadedSet, Queries, Scenario, Settings


@dataclass
class NumberLibrary:
    """Sample i is the number i."""

    total_count: int = 64
    performance_count: int = 64
    name: str = "numbers"
    loads: list[np.ndarray] = field(default_factory=list)

    def load(self, indices):
        self.loads.append(np.asarray(indices))
        return LoadedSet(np.asarray(indices), (np.asarray(indices, np.float32)[:, None],))

    def unload(self, indices):
        pass


@dataclass
class ScriptedSut:
    """Do to each batch what ``answer`` does; by default answer it with its own indices."""

    answer: Callable[[Batch], None] = lambda batch: batch.complete(batch.indices.astype(np.int64))
    workers: int = 1
    max_batch: int = 1
    max_wait_us: float = 0.0
    name: str = "scripted"
    loaded: int = 0

    def load(self, samples):
        self.loaded += 1

    def unload(self):
        self.loaded -= 1

    def serve(self, queries: Queries, worker: int):
        while (batch := queries.take(self.max_batch, self.max_wait_us)) is not None:
            self.answer(batch)


class Stalling:
    """Answer at once, but sleep for ``stall_s`` before the batch with number ``at``."""

    def __init__(self, at: int, stall_s: float):
        self.at, self.stall_s, self.seen = at, stall_s, 0

    def __call__(self, batch):
        if self.seen == self.at:
            time.sleep(self.stall_s)
        self.seen += 1
        batch.complete(batch.indices)


@pytest.fixture
def library():
    return NumberLibrary()


@pytest.fixture
def null_sut():
    return ScriptedSut()


@pytest.fixture
def stalling_sut():
    return lambda at, stall_s: ScriptedSut(answer=Stalling(at, stall_s))


@pytest.fixture
def failing_sut():
    def give_up(batch):
        if batch.ids[0] >= 10:
            raise RuntimeError("the accelerator is on fire")
        batch.complete(batch.indices)

    return ScriptedSut(answer=give_up)


@pytest.fixture
def settings():
    """Settings of a short run; keyword arguments override."""

    def make(scenario: str = "server", **changes):
        defaults = {
            "server": {"target_qps": 2000.0, "bound_ms": 50.0},
            "offline": {"target_qps": 2000.0},
            "multi_stream": {"samples_per_query": 4},
            "single_stream": {},
        }[scenario]
        # Machines that run tests are busy: a late wake-up must not decide what is tested.
        base = {
            "min_duration_ms": 100.0,
            "min_query_count": 50,
            "confidence": None,
            "late_ms": 500.0,
        }
        return Settings(**{"scenario": Scenario(scenario), **base, **defaults, **changes})

    return make


@pytest.fixture(scope="session")
def scripted_sut():
    return ScriptedSut


@pytest.fixture(scope="session")
def library_of():
    return NumberLibrary
