"""How long a system serves a batch, by its size."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ServiceCurve:
    """Service times ``service_ms`` of the batch sizes ``batch``, ascending; linear in between.

    Beyond the last size it goes on as between the last two, or in proportion if there is one.
    ``spread``: sigma of the lognormal factor, with mean 1, by which single batches differ.
    Raises ValueError for sizes or times that make no curve.
    """

    batch: tuple[int, ...]
    service_ms: tuple[float, ...]
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not self.batch or len(self.batch) != len(self.service_ms):
            raise ValueError("a service curve needs one time for each of its batch sizes")
        if self.batch[0] < 1 or any(a >= b for a, b in pairwise(self.batch)):
            raise ValueError(f"batch sizes {self.batch}: they must ascend from 1 or more")
        if not all(np.isfinite(self.service_ms)) or min(self.service_ms) <= 0:
            raise ValueError(f"service times {self.service_ms} ms: they must be above 0")
        if not 0 <= self.spread <= 3:
            raise ValueError(f"spread {self.spread}: it must be between 0 and 3")

    def service_ns(self, max_batch: int) -> NDArray[np.int64]:
        """int64[max_batch]: the time of a batch of 1, 2, ... ``max_batch`` samples, in ns."""
        sizes = np.arange(1, max_batch + 1)
        times_ms = np.interp(sizes, self.batch, self.service_ms)
        before = (0, 0.0) if len(self.batch) == 1 else (self.batch[-2], self.service_ms[-2])
        slope_ms = (self.service_ms[-1] - before[1]) / (self.batch[-1] - before[0])
        beyond = np.maximum(sizes - self.batch[-1], 0)
        grown = times_ms + max(slope_ms, 0.0) * beyond
        return np.maximum(grown * 1e6, 1).astype(np.int64)

    def save(self, path: Path) -> None:
        """Write the curve as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, path: Path) -> ServiceCurve:
        """A curve that ``save`` wrote; ValueError for anything else, OSError without a file."""
        try:
            data = json.loads(path.read_text())
            return cls(
                tuple(map(int, data["batch"])),
                tuple(map(float, data["service_ms"])),
                float(data.get("spread", 0.0)),
            )
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no service curve: {error}") from error
