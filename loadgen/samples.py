"""The sample library as LoadGen sees it: indices to load, and what the SUT receives for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class LoadedSet:
    """Samples in memory, ready for a system under test.

    ``indices``: int64[n], the sample indices loaded, each at most once.
    ``inputs``: one C-contiguous array [n, ...] for each model input, rows in the order of
    ``indices``. The arrays are read-only by contract: several workers share them.
    """

    indices: NDArray[np.int64]
    inputs: tuple[NDArray[np.generic], ...]
    _row_of: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        row_of = np.full(int(self.indices.max(initial=-1)) + 1, -1, dtype=np.int64)
        row_of[self.indices] = np.arange(len(self.indices))
        object.__setattr__(self, "_row_of", row_of)

    def rows(self, indices: NDArray[np.int32] | NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of ``inputs`` that hold the samples ``indices`` (any integer dtype, [k])."""
        return self._row_of[indices]


class SampleLibrary(Protocol):
    """A data set cut into samples (the QSL of the paper, Fig. 3)."""

    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def total_count(self) -> int:
        """How many samples there are."""

    @property
    def performance_count(self) -> int:
        """How many of them a performance run loads."""

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """Bring the samples ``indices`` into memory, preprocessed. Untimed."""

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Let go of what ``load`` brought in."""


@dataclass(frozen=True)
class NoSamples:
    """A library of samples without content, for systems that look at none."""

    name: str = "none"
    total_count: int = 1
    performance_count: int = 1

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """Indices without arrays."""
        return LoadedSet(indices, ())

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Nothing to let go of."""
