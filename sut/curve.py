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
    ``factors``: where they were measured, for each size some factors in its place, each as likely.
    Raises ValueError for sizes or times that make no curve.
    """

    batch: tuple[int, ...]
    service_ms: tuple[float, ...]
    spread: float = 0.0
    factors: tuple[tuple[float, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.batch or len(self.batch) != len(self.service_ms):
            raise ValueError("a service curve needs one time for each of its batch sizes")
        if self.batch[0] < 1 or any(a >= b for a, b in pairwise(self.batch)):
            raise ValueError(f"batch sizes {self.batch}: they must ascend from 1 or more")
        if not all(np.isfinite(self.service_ms)) or min(self.service_ms) <= 0:
            raise ValueError(f"service times {self.service_ms} ms: they must be above 0")
        if not 0 <= self.spread <= 3:
            raise ValueError(f"spread {self.spread}: it must be between 0 and 3")
        if self.factors:
            self._check_factors()

    def _check_factors(self) -> None:
        if len(self.factors) != len(self.batch) or len({len(some) for some in self.factors}) != 1:
            raise ValueError("a service curve needs as many factors for each of its batch sizes")
        found = np.array(self.factors)
        if not (found.size and np.isfinite(found).all() and found.min() > 0):
            raise ValueError("a service curve's factors must be above 0")

    def service_ns(self, max_batch: int) -> NDArray[np.int64]:
        """int64[max_batch]: the time of a batch of 1, 2, ... ``max_batch`` samples, in ns."""
        return self._of_each_size(max_batch, np.ones((len(self.batch), 1)))[:, 0]

    def chances_ns(self, max_batch: int) -> NDArray[np.int64]:
        """int64[max_batch, k]: k times of a batch of each size, in ns, each as likely."""
        factors = np.array(self.factors) if self.factors else np.ones((len(self.batch), 1))
        return self._of_each_size(max_batch, factors)

    def _of_each_size(self, max_batch: int, factors: NDArray[np.float64]) -> NDArray[np.int64]:
        times_ms = np.array(self.service_ms)[:, None] * factors
        sizes, last = np.arange(1, max_batch + 1), len(self.batch) - 1
        place = np.interp(sizes, self.batch, np.arange(last + 1))
        below = place.astype(int)
        above, share = np.minimum(below + 1, last), (place - below)[:, None]
        inside = (1 - share) * times_ms[below] + share * times_ms[above]
        before = (0, 0 * times_ms[0]) if last == 0 else (self.batch[-2], times_ms[-2])
        slope_ms = np.maximum((times_ms[-1] - before[1]) / (self.batch[-1] - before[0]), 0.0)
        beyond = np.maximum(sizes - self.batch[-1], 0)[:, None] * slope_ms
        return np.maximum((inside + beyond) * 1e6, 1).astype(np.int64)

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
                tuple(tuple(map(float, some)) for some in data.get("factors", ())),
            )
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"{path} is no service curve: {error}") from error
