"""A sample library that keeps what it loaded last, for runs that follow one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from loadgen import LoadedSet

if TYPE_CHECKING:
    from engine.datasets import Library


class WarmLibrary:
    """Hand the same arrays out again when the same samples are asked for.

    The runs of a search use one set. Made anew each time, its hundreds of megabytes would be
    preprocessed again, and their first touch would fall into the timed part.
    """

    def __init__(self, library: Library) -> None:
        self.name = library.name
        self.total_count = library.total_count
        self.performance_count = library.performance_count
        self._library = library
        self._kept: LoadedSet | None = None

    def load(self, indices: NDArray[np.int64]) -> LoadedSet:
        """The samples ``indices``, as the library preprocesses them."""
        if self._kept is None or not np.array_equal(self._kept.indices, indices):
            self._kept = None  # before the next set is made, so that both never exist at once
            self._kept = self._library.load(indices)
        return self._kept

    def unload(self, indices: Sequence[int] | NDArray[np.int64]) -> None:
        """Keep them: the next run most likely asks for the same."""
