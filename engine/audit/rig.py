"""What the audits of one benchmark share: the system, its rate, and short runs of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.build import Benchmark
from engine.plan import full_settings
from engine.warm import WarmLibrary
from loadgen import Ending, LoadedSet, Mode, RunLog, SampleLibrary, Scenario, Settings, run
from loadgen.progress import Watch
from multirun.probing import RunFailed

LEAST_SAMPLES = 16
MOST_BYTES = 2**30
"""Of the samples that are loaded for one run of an audit."""


@dataclass(frozen=True)
class Rig:
    """``rate_qps``: what the system was found to serve, in queries/s (server) or samples/s.

    ``entropy``: what the seeds of the audits are drawn from.
    """

    parts: Benchmark
    library: WarmLibrary
    rate_qps: float
    entropy: int
    follow: Callable[[str, Watch | None], Watch]

    def settings(self, **changes: Any) -> Settings:
        """Settings of a comparing run: as short as the config says, in the benchmark's traffic.

        Server runs come at half the rate, where the time of a query is the system's own and not
        that of its queue.
        """
        config = self.parts.config
        server = config.scenario.name == Scenario.SERVER
        full = full_settings(config, self.rate_qps * (0.5 if server else 1.0))
        short: dict[str, Any] = {
            "min_duration_ms": config.audit.seconds * 1000,
            "max_duration_ms": None,
            "min_query_count": 1,
            "min_sample_count": 1,
            "confidence": None,
            "extend": False,
            "warmup_ms": 0.0,
        }
        return dataclasses.replace(full, **{**short, **changes})

    @property
    def is_submitted(self) -> bool:
        """Whether the suite's audits need a run like that of the result, of its rate and length."""
        return self.parts.config.mode == "submit"

    def full_settings(self) -> Settings:
        """Settings of the result's own run."""
        return full_settings(self.parts.config, self.rate_qps)

    def run(self, settings: Settings, name: str, library: SampleLibrary | None = None) -> RunLog:
        """One run; RunFailed if it did not come to its end."""
        made = run(settings, library or self.library, self.parts.sut, self.follow(name, None))
        if made.ending is not Ending.COMPLETE:
            raise RunFailed(made)
        return made

    def sample_count(self) -> int:
        """How many samples a comparing run needs when each comes once, as far as memory goes."""
        probe = self.parts.library.load(np.arange(1))
        size = max(1, sum(array.nbytes for array in probe.inputs))
        wanted = self.settings().target_qps or self.rate_qps
        count = int(wanted * self.parts.config.audit.seconds)
        return int(np.clip(count, LEAST_SAMPLES, max(LEAST_SAMPLES, MOST_BYTES // size)))

    def seed(self, *of: int) -> int:
        """A seed that nobody knew before; the same for the same numbers."""
        return int(np.random.default_rng((self.entropy, *of)).integers(2**63))

    def accuracy_run(self) -> RunLog:
        """The answers to the samples that a performance run loads, each asked once."""
        own = self.parts.library
        first = self.settings().traffic == "v6"
        count = min(own.performance_count, own.total_count) if first else own.total_count
        settings = full_settings(self.parts.config, self.rate_qps * 0.5, Mode.ACCURACY)
        return self.run(settings, "audit: accuracy", First(self.library, count))


@dataclass(frozen=True)
class First:
    """The first ``total_count`` samples of a library."""

    library: SampleLibrary
    total_count: int

    @property
    def name(self) -> str:
        """What reports call it."""
        return self.library.name

    @property
    def performance_count(self) -> int:
        """All of them."""
        return self.total_count

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """As the library does."""
        return self.library.load(indices)

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """As the library does."""
        self.library.unload(indices)
