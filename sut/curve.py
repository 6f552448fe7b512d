"""How long a system serves a batch, by its size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sut.trace import Pace, Trace


@dataclass(frozen=True)
class ServiceCurve:
    """Service times ``service_ms`` of the batch sizes ``batch``, ascending; linear in between.

    Beyond the last size it goes on as between the last two, or in proportion if there is one.
    ``spread``: sigma of the lognormal factor, with mean 1, by which single batches differ.
    ``trace``: where they were measured, all of them in their order; it then says how they differ.
    Raises ValueError for sizes or times that make no curve.
    """

    batch: tuple[int, ...]
    service_ms: tuple[float, ...]
    spread: float = 0.0
    trace: Trace | None = None

    def __post_init__(self) -> None:
        if not self.batch or len(self.batch) != len(self.service_ms):
            raise ValueError("a service curve needs one time for each of its batch sizes")
        if self.batch[0] < 1 or any(a >= b for a, b in pairwise(self.batch)):
            raise ValueError(f"batch sizes {self.batch}: they must ascend from 1 or more")
        if not all(np.isfinite(self.service_ms)) or min(self.service_ms) <= 0:
            raise ValueError(f"service times {self.service_ms} ms: they must be above 0")
        if not 0 <= self.spread <= 3:
            raise ValueError(f"spread {self.spread}: it must be between 0 and 3")
        if self.trace is not None and len(self.trace.times_ms) != len(self.batch):
            raise ValueError("a service curve's trace needs times of each of its batch sizes")

    def service_ns(self, max_batch: int) -> NDArray[np.int64]:
        """int64[max_batch]: the time of a batch of 1, 2, ... ``max_batch`` samples, in ns."""
        sizes = np.arange(1, max_batch + 1)
        times_ms = np.interp(sizes, self.batch, self.service_ms)
        before = (0, 0.0) if len(self.batch) == 1 else (self.batch[-2], self.service_ms[-2])
        slope_ms = (self.service_ms[-1] - before[1]) / (self.batch[-1] - before[0])
        beyond_ms = np.maximum(sizes - self.batch[-1], 0) * max(slope_ms, 0.0)
        return np.maximum((times_ms + beyond_ms) * 1e6, 1).astype(np.int64)

    def pace(self, max_batch: int, workers: int, rng: np.random.Generator) -> Pace | None:
        """Clocks by the trace, each batch by that of the nearest size; None without a trace."""
        if self.trace is None:
            return None
        sizes = np.arange(1, max_batch + 1)
        places = np.interp(sizes, self.batch, np.arange(len(self.batch)))
        clock = np.floor(places + 0.5).astype(np.int32)
        work = self.service_ns(max_batch) / (np.array(self.service_ms)[clock] * 1e6)
        return self.trace.pace(clock, work, workers, rng)

    def resampled(self, rng: np.random.Generator) -> ServiceCurve:
        """The curve with its trace's rounds drawn anew."""
        return self if self.trace is None else replace(self, trace=self.trace.resampled(rng))

    def save(self, path: Path) -> None:
        """Write the curve as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> ServiceCurve:
        """A curve that ``save`` wrote; ValueError for anything else, OSError without a file."""
        try:
            data = json.loads(path.read_text())
            trace = data.get("trace")
            return cls(
                tuple(map(int, data["batch"])),
                tuple(map(float, data["service_ms"])),
                float(data.get("spread", 0.0)),
                None if trace is None else Trace.read(trace),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{path} is no service curve: {error}") from error
